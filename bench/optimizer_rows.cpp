#include "optimizer_rows.hpp"

#include <torch/torch.h>

#include <cmath>
#include <stdexcept>

#include "gradstab/gradstab.hpp"
#include "gradstab/optimizer.hpp"
#include "workload.hpp"

namespace gradstab::bench {
namespace {

constexpr double kLr = 1e-3;

/// One model's parameters with LibTorch's AdamW over them.
class TorchAdamW {
 public:
  explicit TorchAdamW(const Workload& gradients) {
    for (const TensorRef& gradient : gradients.gradients()) {
      const at::IntArrayRef sizes(gradient.sizes.data(), gradient.sizes.size());
      torch::Tensor parameter = torch::zeros(sizes).requires_grad_();
      parameter.mutable_grad() = torch::from_blob(gradient.data, sizes);
      parameters_.push_back(std::move(parameter));
    }
    optimizer_ = std::make_unique<torch::optim::AdamW>(parameters_, torch::optim::AdamWOptions(kLr));
  }
  void step() { optimizer_->step(); }
  double value(std::size_t tensor, std::int64_t element) const {
    return parameters_[tensor].data_ptr<float>()[element];
  }

 private:
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

/// The same with the library's fused AdamW.
class FusedAdamW {
 public:
  FusedAdamW(Workload& gradients, std::optional<GradientTransform> transform, NonFinitePolicy policy,
             unsigned threads, const std::string& backend)
      : gradients_(&gradients),
        storage_(static_cast<std::size_t>(gradients.elements())),
        optimizer_(AdamOptions{.lr = kLr, .weight_decay = 0.01, .decoupled = true}, std::move(transform)) {
    float* next = storage_.data();
    for (const TensorRef& gradient : gradients.gradients()) {
      TensorRef parameter = gradient;
      parameter.data = next;
      next += element_count(gradient.sizes);
      refs_.push_back(parameter);
    }
    optimizer_
        .init(gradients.parameters(),
              {.run = {.nonfinite = policy, .backend = backend, .executor = thread_pool(threads).value()}})
        .check();
  }
  StepReport step() { return optimizer_.step(refs_, gradients_->gradients()).value(); }
  void measure() {
    for (std::size_t i = 0; i < refs_.size(); ++i)
      optimizer_.measure_one(i, gradients_->gradients()[i]).check();
  }
  double value(std::size_t tensor, std::int64_t element) const {
    return static_cast<const float*>(refs_[tensor].data)[element];
  }

 private:
  Workload* gradients_;
  std::vector<float> storage_;
  std::vector<TensorRef> refs_;
  Optimizer optimizer_;
};

/// After one step from zero, Adam has moved each parameter by the learning rate against the gradient's sign,
/// less what epsilon takes, whatever positive factor the gradient had; weight decay of zero is zero.
template <class AnyOptimizer>
void verify(AnyOptimizer& optimizer, const Workload& workload, double factor_floor, const std::string& name) {
  for (std::size_t t = 0; t < workload.parameters().size(); ++t) {
    const std::int64_t count = element_count(workload.parameters()[t].sizes);
    for (std::int64_t i = 0; i < count; i += 1 + count / 1000) {
      const double gradient = workload.pristine_value(t, i);
      const double got = optimizer.value(t, i);
      const double sign = gradient > 0.0 ? -1.0 : 1.0;
      // |g| f / (|g| f + 1e-8) lies between that of the smallest factor and 1.
      const double least =
          kLr * std::fabs(gradient) * factor_floor / (std::fabs(gradient) * factor_floor + 1e-8);
      if (got * sign < least * (1 - 1e-5) || got * sign > kLr * (1 + 1e-5)) {
        throw std::runtime_error("wrong result: " + name + ": element " + std::to_string(i) + " of tensor " +
                                 std::to_string(t));
      }
    }
  }
}

class Rows {
 public:
  Rows(const Settings& settings, unsigned threads, Results& results)
      : settings_(settings), threads_(threads), results_(results), executor_(thread_pool(threads).value()) {
    at::set_num_threads(static_cast<int>(threads));
  }

  void llama() {
    Workload workload(settings_.quick ? llama_parameters(6, 8000) : llama_parameters(12, 32000),
                      DType::float32);
    workload.restore();
    FusedAdamW stabilized = fused(workload, stabilize(), NonFinitePolicy::skip_tensor);
    FusedAdamW plain = fused(workload, {}, NonFinitePolicy::pass_through);
    TorchAdamW torch(workload);
    const StepReport report = stabilized.step();
    double least_factor = 1.0;
    for (const TensorReport& tensor : report.tensors) least_factor = std::fmin(least_factor, tensor.factor);
    plain.step();
    torch.step();
    verify(stabilized, workload, least_factor, "stabilized fused AdamW");
    verify(plain, workload, 1.0, "fused AdamW");
    verify(torch, workload, 1.0, "LibTorch's AdamW");

    const auto fresh = [&] { workload.restore(); };
    Experiment experiment;
    experiment.add("read", fresh, [&] { stream_read(*executor_, workload.pieces()); });
    experiment.add("read-write", fresh, [&] { stream_read_write(*executor_, workload.pieces()); });
    experiment.add("stabilized", fresh, [&] { stabilized.step(); });
    experiment.add("plain", fresh, [&] { plain.step(); });
    experiment.add(
        "measured",
        [&] {
          workload.restore();
          stabilized.measure();
        },
        [&] { stabilized.step(); });
    experiment.add("torch", fresh, [&] { torch.step(); });
    experiment.run(settings_.repeats);

    add(experiment, "llama f32: torch AdamW / stabilized fused AdamW", {"torch"}, {"stabilized"},
        Better::higher, 4.0, workload.bytes());
    // Gradient read twice; parameter and two moments read and written: 8 N floats.
    add(experiment, "llama f32: stabilized fused AdamW / traffic of 8 N floats", {"stabilized"},
        {"read", "read", "read-write", "read-write", "read-write"}, Better::lower, 1.2, workload.bytes());
    add(experiment, "llama f32: torch AdamW / traffic of 8 N floats", {"torch"},
        {"read", "read", "read-write", "read-write", "read-write"}, Better::higher, 0.0, workload.bytes());
    add(experiment, "llama f32: stabilized / plain fused AdamW", {"stabilized"}, {"plain"}, Better::lower,
        1.25, workload.bytes());
    add(experiment, "llama f32: stabilized, measured ahead / plain fused AdamW", {"measured"}, {"plain"},
        Better::lower, 1.05, workload.bytes());
  }

  void many_tensors() {
    Workload workload(equal_parameters(settings_.quick ? 2000 : 10000, 64), DType::float32);
    workload.restore();
    FusedAdamW stabilized = fused(workload, stabilize(), NonFinitePolicy::skip_tensor);
    TorchAdamW torch(workload);
    const StepReport report = stabilized.step();
    double least_factor = 1.0;
    for (const TensorReport& tensor : report.tensors) least_factor = std::fmin(least_factor, tensor.factor);
    torch.step();
    verify(stabilized, workload, least_factor, "stabilized fused AdamW, many tensors");
    verify(torch, workload, 1.0, "LibTorch's AdamW, many tensors");
    constexpr int kCalls = 5;
    Experiment experiment;
    const auto fresh = [&] { workload.restore(); };
    experiment.add(
        "stabilized", fresh, [&] { stabilized.step(); }, kCalls);
    experiment.add(
        "torch", fresh, [&] { torch.step(); }, kCalls);
    experiment.run(settings_.repeats);
    add(experiment, "10,000 x 64: torch AdamW / stabilized fused AdamW", {"torch"}, {"stabilized"},
        Better::higher, 10.0, workload.bytes());
  }

 private:
  FusedAdamW fused(Workload& workload, std::optional<GradientTransform> transform,
                   NonFinitePolicy policy) const {
    return {workload, std::move(transform), policy, threads_, settings_.backend};
  }
  void add(const Experiment& experiment, std::string name, const std::vector<std::string>& numerators,
           const std::vector<std::string>& denominators, Better better, double target, std::size_t bytes) {
    const double seconds = experiment.seconds("stabilized").median;
    results_.rows.push_back({std::move(name), threads_, experiment.ratio(numerators, denominators), better,
                             target, seconds, 8.0 * static_cast<double>(bytes) / seconds / 1e9});
  }

  const Settings& settings_;
  unsigned threads_;
  Results& results_;
  std::shared_ptr<Executor> executor_;
};

}  // namespace

void add_optimizer_rows(const Settings& settings, unsigned threads, Results& results) {
  Rows rows(settings, threads, results);
  rows.llama();
  rows.many_tensors();
}

}  // namespace gradstab::bench
