// A gradient transform over torch tensors, wherever they are.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "aten/placed.hpp"
#include "aten/places.hpp"
#include "aten/plain_tensors.hpp"
#include "gradstab/cuda.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// GradientTransform for tensors in host memory or on devices. What it remembers goes where the gradients
/// are, and comes back to the host for what only the host does. Settings, parameters, state and errors are
/// those of GradientTransform; `RunOptions::backend` also accepts the words of `Places`.
class TensorTransform {
 public:
  TensorTransform(GradientTransform transform, RunOptions options);

  /// The first invalid setting, or an unknown backend.
  Status validate() const;

  /// Registers parameters, in their registered shapes. State of the names that stay is kept, except where the
  /// shape has changed or the position is in `fresh`; the first time, and after `forget`, all starts afresh.
  Status bind(ParameterSet parameters, std::vector<std::size_t> fresh = {});
  /// The same for sharded parameters, of which this process has parts of these shapes: steps are made by
  /// `measure_parts` and `finish_parts`, or decided on by `decide_at_home`.
  Status bind_parts(ParameterSet parameters, ParameterSet parts, std::vector<std::size_t> fresh = {});
  void forget() noexcept { bound_ = false; }
  bool is_bound() const noexcept { return bound_; }

  /// One step: transforms the gradients in place, also those that are lazily negated or conjugated; complex
  /// ones count as pairs of real numbers. One entry per parameter; an undefined one is absent. `parameters`
  /// are their values, for methods that compare gradients with them, or empty. False: the optimizer must be
  /// left out (policy `skip_step`).
  ///
  /// On a device nothing waits, unless the host has to know: under policies `skip_step` and `raise`, and for
  /// methods that it decides for, all but `stabilize` per tensor.
  Result<bool> step(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters);
  bool needs_parameters() const noexcept;

  /// The squared norms of these parts, float64 [parameters], in memory of the device, to be replaced by sums
  /// over all processes, and by -1 where none of them has a gradient. An undefined tensor where the step
  /// cannot be made on a device.
  Result<at::Tensor> measure_parts(std::span<const at::Tensor> gradients);
  /// Decides, and scales these parts. False: the optimizer must be left out (policy `skip_step`).
  Result<bool> finish_parts(std::span<const at::Tensor> gradients);

  /// Only the decision, on the host: see GradientTransform::decide.
  Result<StepReport> decide_at_home(std::span<const double> squared_norms);

  /// The norms before the last step, float64 [parameters], 0 where there was no gradient: on the device, in
  /// the order of its stream, where the step was made on one.
  Result<at::Tensor> raw_norms();

  /// Of the last step; waits for the device. Valid until the next step.
  Result<StepReport> report();

  const ParameterSet& parameters() const noexcept { return placed_.parameters(); }
  std::string name() const { return placed_.name(); }
  /// The host's backend, "cuda" or "emulated", with " (copies)" where tensors are copied to the host.
  std::string backend_name() const { return placed_.backend_name(); }

  Result<std::vector<MethodState>> state();
  Result<std::vector<std::byte>> save() { return placed_.save(); }
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names = {}) {
    return placed_.load(bytes, names);
  }

  /// The transform itself, back on the host. Errors: those of the device.
  Result<GradientTransform*> home();

 private:
  Status go_to(const Whereabouts& where);
  at::Tensor squared_norms_on_device() const;
  Result<bool> step_on_device(std::span<const at::Tensor> gradients);
  Status take_device_gradients(std::span<const at::Tensor> gradients);
  Result<bool> end_device_step(const Status& status, std::span<const at::Tensor> gradients);
  Result<bool> step_plain(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters);
  Result<at::Tensor> measure_plain_parts(std::span<const at::Tensor> gradients);
  Result<bool> step_on_copies(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters);
  Result<StepReport> update(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters);

  RunOptions options_;
  Placed<GradientTransform, cuda::Transform> placed_;
  bool bound_ = false;
  std::optional<ParameterSet> parts_;

  // Of the current step; members so that a step allocates as little as it can.
  std::vector<TensorRef> gradient_refs_;
  std::vector<TensorRef> parameter_refs_;
  std::vector<at::Tensor> used_;
  PlainTensors plain_gradients_{TensorUse::transformed_gradients};
  PlainTensors plain_parameters_{TensorUse::compared_parameters};
  DenseGradients dense_;
  HostCopies gradient_copies_;
  HostCopies parameter_copies_;
};

}  // namespace gradstab
