// GradientStabilizer and the fused optimizers on a CUDA device. docs/cuda.md is the manual.
//
// A step is put into a stream and runs there. It makes at most four launches, however many tensors there are,
// and the host waits for none of them. Moments, step counts, learning rates and bias corrections live on the
// device and advance there, so that a step can be captured in a CUDA graph and replayed. This holds for
// `stabilize` per tensor. For another method the host decides on the norms that the device has measured: it
// waits for them once per step, `report` is there when the step returns, and the step cannot be captured.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// Whether this library was built with device code.
GRADSTAB_API bool cuda_is_built() noexcept;

/// Whether there is a device to run it on. Errors: built without CUDA, no driver, no device.
GRADSTAB_API Status cuda_available();

namespace cuda {

/// A `cudaStream_t`, which is a `CUstream`. Null: the default stream of the device.
using Stream = void*;

/// How a transform or an optimizer runs on a device; what it computes is fixed when it is made.
struct DeviceOptions {
  NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor;
  int device = -1;  ///< ordinal; below 0: the calling thread's current device, or the first
  /// Runs the device's code on the host, block after block, over host memory: for tests. Slow. Tensors are
  /// then in host memory, although their device type says CUDA.
  bool emulate = false;
  LowPrecision low_precision = LowPrecision::master_copy;  ///< of an optimizer
  std::uint64_t seed = 0;                                  ///< of stochastic rounding
};

/// What the host has asked of the device since `init`. The replay of a graph does not count.
struct DeviceCounts {
  std::uint64_t launches = 0;  ///< kernels
  std::uint64_t copies = 0;    ///< in both directions
  std::uint64_t waits = 0;     ///< times that the host waited for the device
};

/// What `Transform` and `Optimizer` have in common. Not made directly.
///
/// All calls with a stream argument are asynchronous unless they say otherwise, and run in the order of that
/// stream; a caller who changes streams orders them with events. Tensors are dense memory of the device,
/// aligned to their element type; gradients float32, float16 or bfloat16. Movable, not copyable, one call at
/// a time.
///
/// An error of a tensor or a setting leaves everything as it was. After an error of the device or the driver
/// (code io_error) nothing can be relied on.
class GRADSTAB_API OnDevice {
 public:
  OnDevice(OnDevice&&) noexcept;
  OnDevice& operator=(OnDevice&&) noexcept;
  ~OnDevice();

  /// Starts to copy the report of the last step to the host. May be captured; each replay then copies.
  Status request_report(Stream stream = nullptr);
  /// Whether `report` would not have to wait. Always true if the request was captured: only the caller knows
  /// then.
  Result<bool> report_is_ready() const;
  /// The report that was requested last; waits until its copy is done. It points into memory of this object,
  /// valid until the next request. If the request was captured, wait for the replay first. Errors: none was
  /// requested; under policy `raise`, a gradient of that step held NaN or Inf.
  Result<StepReport> report();

  /// What `report` saw last, under policy `raise` also if it returned `non_finite`. Without tensors before
  /// the first report.
  const StepReport& last_report() const noexcept;

  /// 1 in device memory while the last step was one that changed nothing (policies `skip_step` and `raise`),
  /// else 0. Null before init.
  const std::int32_t* skip_flag() const noexcept;

  /// One double per parameter in device memory, the squared norms, between `measure` and `finish`. A process
  /// that has parts of the tensors sums them over all processes here. A tensor of which it has no part is
  /// passed with a size of 0, not left out. Null before init.
  double* squared_norms() const noexcept;

  const ParameterSet& parameters() const noexcept;
  std::string name() const;
  /// "cuda" or "emulated"; empty before init.
  std::string_view device_name() const noexcept;
  DeviceCounts counts() const noexcept;

  /// State as bytes: those of the CPU's `GradientTransform::save` or `Optimizer::save`, which either may
  /// load. Waits for the stream.
  Result<std::vector<std::byte>> save(Stream stream = nullptr);
  /// Waits for the stream. Graphs of a transform that were captured before continue with the new state; those
  /// of an optimizer must be captured again.
  Status load(std::span<const std::byte> bytes, Stream stream = nullptr);

 protected:
  struct Impl;
  explicit OnDevice(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

/// A gradient transform on a device: `stabilize` per tensor and, decided by the host, every other method that
/// needs only norms of tensors.
class GRADSTAB_API Transform : public OnDevice {
 public:
  explicit Transform(GradientTransform transform);

  /// Binds to parameters and allocates all state on the device; a second call starts afresh. Errors: an
  /// invalid setting, a transform that looks at more than norms of tensors, no device.
  Status init(ParameterSet parameters, DeviceOptions options = {});

  /// Moves an initialised transform to a device, with its parameters and state; `host` is empty afterwards.
  /// Errors, after which `host` is as it was: those of init.
  ///
  /// `parts`, for sharded parameters, has the shapes of this process's parts by the same names. Steps are
  /// then made of `measure` and `finish`. Between them, replace the squared norms by their sums over all
  /// processes, and by -1 where no process has a gradient.
  static Result<Transform> take(GradientTransform& host, DeviceOptions options = {}, Stream stream = nullptr,
                                std::optional<ParameterSet> parts = {});
  /// Moves it back, for steps on the host or for another set of parameters. Waits for the stream. This object
  /// is as before init afterwards.
  Result<GradientTransform> release(Stream stream = nullptr);

  /// What the method remembers; waits for the stream.
  Result<std::vector<MethodState>> state(Stream stream = nullptr);

  /// One step: transforms the gradients in place. One entry per parameter in the registered order; one
  /// without data is left out. Three launches, and one copy if a gradient has moved since the last step.
  Status update(std::span<const TensorRef> gradients, Stream stream = nullptr);

  /// `update` in two parts, for sharded gradients: see `squared_norms`.
  Status measure(std::span<const TensorRef> gradients, Stream stream = nullptr);
  Status finish(Stream stream = nullptr);

 private:
  struct Inside;
};

/// A fused optimizer on a device, alone or behind a transform that `Transform` accepts.
class GRADSTAB_API Optimizer : public OnDevice {
 public:
  explicit Optimizer(OptimizerOptions options, std::optional<GradientTransform> transform = {});
  /// With the settings and the transform of an optimizer for the CPU, but without the parameters and state
  /// that it has.
  explicit Optimizer(gradstab::Optimizer optimizer);

  /// Binds to parameters; a second call starts afresh. `groups` as in gradstab::Optimizer::init.
  Status init(ParameterSet parameters, DeviceOptions options = {},
              const std::vector<OptimizerGroup>& groups = {});

  /// Moves an initialised optimizer to a device, with its parameters, groups and state; `host` is empty
  /// afterwards. `options` has the policies that `host` was initialised with. Errors, after which `host` is
  /// as it was: those of init; state of float64 parameters.
  ///
  /// `in_parts`: the parameters are sharded. Steps are then made of `measure` and `finish`, with squared
  /// norms in between as in gradstab::Optimizer::measure.
  static Result<Optimizer> take(gradstab::Optimizer& host, DeviceOptions options = {},
                                Stream stream = nullptr, bool in_parts = false);
  /// Moves it back, for steps on the host, other parameters or groups. Waits for the stream. This object is
  /// as before init afterwards.
  Result<gradstab::Optimizer> release(Stream stream = nullptr);

  /// Allocates the state of these parameters and tells the device where everything is, without a step. A
  /// first step does this by itself; call it before a first step that is captured.
  Status prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                 Stream stream = nullptr);

  /// One step over all parameters, in place; gradients are not written. Parameters are float32 or bfloat16,
  /// in the same order of elements as their gradients. Two launches and one per update rule (two rules only
  /// where Adam-mini or groups of SGD mix them). The first step of a parameter allocates its state.
  Status step(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
              Stream stream = nullptr);

  /// One step of one parameter, for calling as soon as backward has produced its gradient, whose memory may
  /// be given to later work of the stream afterwards. Three launches, and no copy. Errors: those of
  /// gradstab::Optimizer::step_one.
  Status step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient,
                  Stream stream = nullptr);
  /// Whether `step_one` is possible; the error says why not.
  Status can_step_one() const;

  /// `step` in two parts, as Transform has them. Errors: Adam-mini, whose units would need sums of their own.
  Status measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                 Stream stream = nullptr);
  Status finish(Stream stream = nullptr);

  std::size_t group_count() const noexcept;
  Result<OptimizerOptions> options(std::size_t group = 0) const;
  /// Settings for all steps from now on, replays of a graph included: the new ones are copied to the device
  /// in the order of the stream. Errors: those of gradstab::Optimizer; the stream is being captured.
  Status set_lr(double lr, Stream stream = nullptr);
  Status set_lr(std::size_t group, double lr, Stream stream = nullptr);
  /// If the update rule changes (momentum to Nesterov), this waits for the stream, and graphs must be
  /// captured again.
  Status set_options(std::size_t group, OptimizerOptions options, Stream stream = nullptr);

 private:
  struct Inside;
  explicit Optimizer(std::unique_ptr<Impl> inside) noexcept;
};

}  // namespace cuda
}  // namespace gradstab
