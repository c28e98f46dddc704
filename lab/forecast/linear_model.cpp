#include "lab/forecast/linear_model.hpp"

#include "lab/forecast/batches.hpp"

namespace gradstab::lab::forecast {
namespace {
/// Windows that are converted to double together.
constexpr std::int64_t kBatch = 256;
}  // namespace

LinearModel LinearModel::fit(const Windows& training, double ridge) {
  TORCH_CHECK(ridge > 0, "ridge must be above 0, got ", ridge);
  const torch::NoGradGuard no_grad;
  const std::int64_t look_back = training.look_back();
  torch::Tensor products = torch::zeros({look_back, look_back}, torch::kDouble);
  torch::Tensor moments = torch::zeros({look_back, training.horizon()}, torch::kDouble);
  for (std::int64_t first = 0; first < training.count(); first += kBatch) {
    const Batch batch = gather_from(training, first, kBatch);
    const torch::Tensor inputs = batch.inputs.to(torch::kDouble).view({-1, look_back});
    const torch::Tensor targets = batch.targets.to(torch::kDouble).view({-1, training.horizon()});
    const torch::Tensor mean = inputs.mean(1, true);
    const torch::Tensor centred = (inputs - mean).t();
    products.addmm_(centred, centred.t());
    moments.addmm_(centred, targets - mean);
  }
  const auto rows = static_cast<double>(training.count() * training.channels());
  products.diagonal().add_(ridge * rows);
  const torch::Tensor factor = torch::linalg_cholesky(products);
  return LinearModel(torch::cholesky_solve(moments, factor).t().contiguous());
}

torch::Tensor LinearModel::forecast(const torch::Tensor& windows) const {
  const torch::Tensor mean = windows.mean(-1, true);
  return mean + torch::matmul(windows - mean, weight_.t().to(windows.options()));
}

Score LinearModel::score(const Windows& windows) const {
  return forecast::score([&](const torch::Tensor& inputs) { return forecast(inputs.to(torch::kDouble)); },
                         windows, windows.count(), kBatch);
}

}  // namespace gradstab::lab::forecast
