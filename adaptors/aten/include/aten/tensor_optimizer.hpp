// A fused optimizer over torch tensors, wherever they are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "aten/placed.hpp"
#include "aten/places.hpp"
#include "aten/plain_tensors.hpp"
#include "aten/tensor.hpp"
#include "gradstab/cuda.hpp"
#include "gradstab/optimizer.hpp"

namespace gradstab {

/// Optimizer for tensors in host memory or on devices. Its state goes where the parameters are, and comes
/// back to the host for what only the host does. Settings, parameters, state and errors are those of
/// Optimizer; `RunOptions::backend` also accepts the words of `Places`.
class TensorOptimizer {
 public:
  TensorOptimizer(OptimizerOptions options, std::optional<GradientTransform> transform,
                  OptimizerRunOptions run);

  /// What `bind` would refuse whatever the parameters are.
  Status validate();

  /// Registers parameters, in their registered shapes. State of the names that stay is kept, except where the
  /// shape has changed or the position is in `fresh`; the first time all starts afresh. `in_parts`: they are
  /// this process's parts; steps are then made by `measure_parts` and `finish_parts`.
  Status bind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups, bool in_parts = false,
              std::vector<std::size_t> fresh = {});

  /// Of a group, from the next step on. The same settings once more cost nothing.
  Status set_options(std::size_t group, OptimizerOptions options);
  Status set_lr(std::size_t group, double lr);

  /// One step, in place, also of what is lazily negated or conjugated; complex numbers count as pairs of real
  /// ones, and sparse gradients of SGD are made dense. One entry per parameter; one whose gradient is
  /// undefined is left out. Gradients are not written. False: nothing was done (policy `skip_step`).
  ///
  /// On a device nothing waits, unless the policy is `raise` or the host decides for the method. There only
  /// the report says that a step was left out.
  Result<bool> step(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);

  /// A step in two parts. The squared norms, float64 [parameters] where the step is made: the library's own
  /// memory, to be replaced by sums over all processes, and by kNoGradient where none of them has a gradient.
  Result<at::Tensor> measure_parts(std::span<const at::Tensor> parameters,
                                   std::span<const at::Tensor> gradients);
  /// Decides, and updates the parts that were measured, which are given again. Returns as `step` does.
  Result<bool> finish_parts(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);

  /// One step of one parameter, whose gradient may be freed afterwards.
  Status step_one(std::size_t index, const at::Tensor& parameter, const at::Tensor& gradient);
  /// What the last `step_one` of a parameter saw; waits for the device, once for all of them.
  Result<TensorReport> report_of_one(std::size_t index);
  /// Whether `step_one` is possible for these parameters; the error says why not.
  Status can_step_one(std::span<const at::Tensor> parameters);
  /// Measures one gradient ahead of `step`, which measures it again if autograd knows that it was written to
  /// in between. Does nothing for gradients outside of host memory.
  Status measure_one(std::size_t index, const at::Tensor& gradient);

  /// Of the last step; waits for the device. Valid until the next step.
  Result<StepReport> report();

  const ParameterSet& parameters() const noexcept { return placed_.parameters(); }
  std::string name() const { return placed_.name(); }
  /// As of TensorTransform.
  std::string backend_name() const { return placed_.backend_name(); }

  /// `parameters` as of `step`; see set_parameter_state.
  Result<std::vector<std::byte>> save(std::span<const at::Tensor> parameters);
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names = {}) {
    without_copy_.clear();
    return placed_.load(bytes, names);
  }

  /// As of Optimizer. Where the float32 copy of a bfloat16 parameter is missing, it is made of what the
  /// parameter is when it is stepped or saved next.
  Result<Optimizer::ParameterState> parameter_state(std::size_t index);
  Result<std::int64_t> step_of(std::size_t index);
  Status set_parameter_state(std::size_t index, DType dtype, Optimizer::ParameterState state);

  /// The optimizer itself, back on the host. Errors: those of the device.
  Result<Optimizer*> home();

 private:
  Status go_to(const Whereabouts& where);
  Status take_plain(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients,
                    std::size_t first = 0);
  template <class Outcome>
  Outcome give_back(Outcome outcome, std::span<const at::Tensor> parameters);
  Status begin_step(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);
  Result<bool> step_plain(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);
  Result<at::Tensor> measure_plain_parts(std::span<const at::Tensor> parameters,
                                         std::span<const at::Tensor> gradients);
  Result<bool> finish_plain(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);
  Status step_one_plain(std::size_t index, const at::Tensor& parameter, const at::Tensor& gradient);
  Status take_on_host(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);
  Result<bool> end_host_step(const Result<StepReport>& report, std::span<const at::Tensor> parameters,
                             std::span<const at::Tensor> gradients);
  Status take_on_device(std::span<const at::Tensor> parameters, std::span<const at::Tensor> gradients);
  Result<bool> end_device_step(const Status& made);
  Status step_one_on_device(std::size_t index, const at::Tensor& parameter, const at::Tensor& gradient);
  Status measure_again_if_written(std::size_t index, const at::Tensor& gradient, const TensorRef& reference);
  Status keep_reports_of_ones();
  Status make_copy(std::size_t index, const at::Tensor& parameter);
  Status make_copies(std::span<const at::Tensor> parameters, std::size_t first = 0);

  OptimizerRunOptions run_;
  Placed<Optimizer, cuda::Optimizer> placed_;
  bool bound_ = false;
  bool in_parts_ = false;
  std::map<std::string, Optimizer::ParameterState> without_copy_;  // by name: see set_parameter_state

  // Of the current step; members so that a step allocates as little as it can.
  std::vector<TensorRef> gradient_refs_;
  std::vector<TensorRef> parameter_refs_;
  PlainTensors plain_gradients_;
  PlainTensors plain_parameters_{TensorUse::optimizers_parameters};
  DenseGradients dense_;
  HostCopies gradient_copies_;
  HostCopies parameter_copies_;
  std::vector<std::optional<GradientMark>> measured_;  // ahead of the step, as they were then

  std::vector<TensorReport> ones_;  // of the steps of one
};

}  // namespace gradstab
