#include "lab/forecast/batches.hpp"

#include <algorithm>
#include <vector>

namespace gradstab::lab::forecast {

Batch gather(const Windows& windows, std::span<const std::int64_t> indices) {
  const auto count = static_cast<std::int64_t>(indices.size());
  Batch batch{torch::empty({count, windows.channels(), windows.look_back()}, torch::kFloat),
              torch::empty({count, windows.channels(), windows.horizon()}, torch::kFloat)};
  windows.copy(indices, batch.inputs.data_ptr<float>(), batch.targets.data_ptr<float>());
  return batch;
}

Batch gather_from(const Windows& windows, std::int64_t first, std::int64_t count, std::int64_t stride) {
  std::vector<std::int64_t> indices;
  for (std::int64_t index = first; index < windows.count() && count > 0; index += stride, --count)
    indices.push_back(index);
  return gather(windows, indices);
}

Score score(const Forecaster& forecaster, const Windows& windows, std::int64_t count, std::int64_t batch,
            std::int64_t stride) {
  const torch::NoGradGuard no_grad;
  Score result;
  for (std::int64_t first = 0; first < count; first += batch) {
    const auto [inputs, targets] =
        gather_from(windows, first * stride, std::min(batch, count - first), stride);
    const torch::Tensor forecast = forecaster(inputs).to(torch::kCPU, torch::kFloat).contiguous();
    TORCH_CHECK(forecast.sizes() == targets.sizes(), "the forecast must have the shape ", targets.sizes(),
                ", not ", forecast.sizes());
    result.add(forecast.data_ptr<float>(), targets.data_ptr<float>(), targets.numel());
  }
  return result;
}

}  // namespace gradstab::lab::forecast
