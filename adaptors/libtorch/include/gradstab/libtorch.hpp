// GradientStabilizer in front of any LibTorch optimizer.
//
//   gradstab::Stabilized<torch::optim::AdamW> optimizer(model->parameters(),
//   torch::optim::AdamWOptions(1e-3));
//
// is still a torch::optim::AdamW: learning-rate schedulers, parameter groups, zero_grad, closures and
// torch::save work as before.
#pragma once

#include <torch/optim/lbfgs.h>
#include <torch/optim/optimizer.h>
#include <torch/ordered_dict.h>
#include <torch/serialize.h>
#include <torch/version.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "gradstab/transform.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {

/// Named parameters as torch::nn::Module::named_parameters() returns them.
using NamedParameters = torch::OrderedDict<std::string, at::Tensor>;

/// The key under which LibTorch's optimizers keep the state of a parameter in `state()`.
inline auto state_key(const at::Tensor& parameter) {
#if TORCH_VERSION_MAJOR >= 2
  return parameter.unsafeGetTensorImpl();
#else
  return c10::guts::to_string(parameter.unsafeGetTensorImpl());
#endif
}

/// Applies a transform to the gradients of parameters that an optimizer owns. The common part of
/// Stabilized<>.
class GradientBridge {
 public:
  /// Errors of the transform's settings throw gradstab::Error, as LibTorch's constructors do.
  GradientBridge(GradientTransform transform, RunOptions options);
  ~GradientBridge();
  GradientBridge(const GradientBridge&) = delete;
  GradientBridge& operator=(const GradientBridge&) = delete;

  /// State is kept under these names; parameters without one are named by position: "group0.parameter3".
  void set_names(const NamedParameters& names);

  /// Transforms the gradients of all parameters in the groups, in host memory or on a device. Parameters
  /// without gradient are left out; sparse gradients are coalesced in place, and those that cannot be written
  /// (expanded ones) copied; groups added since the last call, and parameters that have another shape, join
  /// with fresh state. Returns false if the optimizer's step must be skipped (policy `skip_step`). Throws
  /// gradstab::Error.
  bool transform_gradients(const std::vector<torch::optim::OptimizerParamGroup>& groups);

  /// The report of the last call of transform_gradients; before the first, a report without tensors. Waits if
  /// the gradients are on a device.
  const StepReport& report() const;
  const ParameterSet& parameters() const noexcept;
  /// Where the last step was made: a backend of the host or "cuda", with " (copies)" if gradients on a device
  /// are copied to the host and back.
  std::string backend_name() const;

  /// The transform's state as bytes that hold no code (docs/state-format.md).
  std::vector<std::byte> save_state(const std::vector<torch::optim::OptimizerParamGroup>& groups) const;
  /// Loads such bytes into the transform of the parameters in these groups. Errors leave it with fresh state.
  void load_state(std::span<const std::byte> bytes,
                  const std::vector<torch::optim::OptimizerParamGroup>& groups);

  void save(torch::serialize::OutputArchive& archive,
            const std::vector<torch::optim::OptimizerParamGroup>& groups) const;
  /// With an archive of a plain optimizer, which has none of this state, the statistics start afresh.
  void load(torch::serialize::InputArchive& archive,
            const std::vector<torch::optim::OptimizerParamGroup>& groups);

 private:
  struct Impl;  // of types that are not installed
  std::unique_ptr<Impl> impl_;
};

/// `Optimizer` with a gradient transform in front of every step. `Optimizer` is any LibTorch optimizer.
template <class Optimizer>
class Stabilized : public Optimizer {
 public:
  /// GradientStabilizer with its default settings, then the optimizer's own arguments. `parameters` is what
  /// the optimizer accepts (tensors or parameter groups), or a module's named_parameters(), whose names then
  /// key the state.
  template <class Parameters, class... Rest>
  requires(!std::is_same_v<std::remove_cvref_t<Parameters>, GradientTransform>) explicit Stabilized(
      Parameters&& parameters, Rest&&... rest)
      : Stabilized(stabilize(), RunOptions{}, std::forward<Parameters>(parameters),
                   std::forward<Rest>(rest)...) {}

  /// Any transform, for example chain(clip_by_global_norm(1.0), stabilize(StabilizerOptions::paper())).
  template <class Parameters, class... Rest>
  Stabilized(GradientTransform transform, RunOptions options, Parameters&& parameters, Rest&&... rest)
      : Optimizer(unnamed(parameters), std::forward<Rest>(rest)...),
        bridge_(std::move(transform), std::move(options)) {
    if constexpr (std::is_convertible_v<Parameters, const NamedParameters&>) bridge_.set_names(parameters);
  }

  /// Transforms the gradients, then runs the optimizer's step. With a closure, the gradients that the closure
  /// computes are the ones transformed.
  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) override {
    if (!closure)
      return bridge_.transform_gradients(this->param_groups_) ? Optimizer::step(nullptr) : torch::Tensor();
    if constexpr (std::is_base_of_v<torch::optim::LBFGS, Optimizer>) {
      // It evaluates its closure several times per step; each evaluation has gradients of its own.
      return Optimizer::step([&] {
        torch::Tensor loss = closure();
        bridge_.transform_gradients(this->param_groups_);
        return loss;
      });
    } else {
      torch::Tensor loss;
      {
        const at::AutoGradMode enable_grad(true);
        loss = closure();
      }
      if (bridge_.transform_gradients(this->param_groups_)) Optimizer::step(nullptr);
      return loss;
    }
  }

  /// Raw and stabilized norm, factor and flags of each tensor in the last step.
  const StepReport& report() const { return bridge_.report(); }

  /// Where the last step was made: see GradientBridge::backend_name.
  std::string backend_name() const { return bridge_.backend_name(); }

  /// The names and shapes behind the entries of report().tensors.
  const ParameterSet& registered_parameters() const noexcept { return bridge_.parameters(); }

  /// State of only the transform, as bytes that hold no code; LibTorch's optimizer keeps its own in
  /// `state()`. Use this for files from others: loading a LibTorch archive runs the code in it.
  std::vector<std::byte> save_transform_state() const { return bridge_.save_state(this->param_groups_); }
  /// Restores what save_transform_state gave, for parameters of the same names and shapes. Throws
  /// gradstab::Error.
  void load_transform_state(std::span<const std::byte> bytes) {
    bridge_.load_state(bytes, this->param_groups_);
  }

  void save(torch::serialize::OutputArchive& archive) const override {
    Optimizer::save(archive);
    bridge_.save(archive, this->param_groups_);
  }
  void load(torch::serialize::InputArchive& archive) override {
    Optimizer::load(archive);
    bridge_.load(archive, this->param_groups_);
  }

 private:
  template <class Parameters>
  static decltype(auto) unnamed(Parameters&& parameters) {
    if constexpr (std::is_convertible_v<Parameters, const NamedParameters&>) {
      return parameters.values();
    } else {
      return std::forward<Parameters>(parameters);
    }
  }

  GradientBridge bridge_;
};

}  // namespace gradstab
