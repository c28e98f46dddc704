// The inside of what runs on a device: an engine there, and its twin on the host.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/transform/transform_access.hpp"
#include "cuda/engine.hpp"
#include "gradstab/cuda.hpp"

namespace gradstab::cuda {

/// The twin is an ordinary transform or optimizer of the library that makes no steps. It knows settings,
/// parameters and the format of saved state; the engine has the state and makes the steps.
struct GRADSTAB_LOCAL OnDevice::Impl {
  virtual ~Impl() = default;

  virtual GradientTransform& transform() noexcept = 0;
  TransformAccess::Impl& chain() noexcept { return TransformAccess::inside(transform()); }
  virtual std::string name() const = 0;
  virtual Result<std::vector<std::byte>> save_twin() = 0;
  virtual Status load_twin(std::span<const std::byte> bytes) = 0;
  /// Moves the state between engine and twin.
  virtual void take_state(device::DeviceEngine::State state) = 0;
  virtual device::DeviceEngine::State give_state() = 0;
  /// After both of them.
  virtual void forget_state() noexcept {}

  /// Errors: not initialised.
  Status check_ready(std::string_view call) const;
  Status open(const DeviceOptions& options);
  /// Finds out who decides: the device where the chain is `stabilize` per tensor, the host where all links
  /// look at nothing but the Euclidean norms of tensors. Errors: other links.
  Status choose_who_decides();
  /// Between measure and finish, where the host decides: its decision, on the way to the device. False: the
  /// step changes nothing. Waits for the norms.
  Result<bool> decide_on_host(device::Stream stream);
  /// The rest of a step that has been measured.
  Status finish(device::Stream stream);
  Result<std::vector<std::byte>> save(device::Stream stream);
  Status load(std::span<const std::byte> bytes, device::Stream stream);
  Result<StepReport> report();

  StabilizerLink link;        ///< without options: the device does not decide
  bool host_decides = false;  ///< on norms that it fetches
  bool ready = false;
  bool measured = false;  ///< between measure and finish
  DeviceOptions options;
  std::shared_ptr<device::Device> device;
  device::DeviceEngine engine;
  device::DeviceCounts counts_before;
  StepReport last_report;
};

}  // namespace gradstab::cuda
