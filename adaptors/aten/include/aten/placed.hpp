// What is stepped on the host or on a device: one of the library's objects, and where it is now.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "aten/places.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// `Host` (GradientTransform, Optimizer) or what became of it on a device (`Device`, of gradstab::cuda), and
/// the report of its last step.
template <class Host, class Device>
class Placed {
 public:
  Placed(Host host, const Places& places) : host_(std::move(host)), places_(places) {}
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  /// Waits for a device, which may still be at the memory that goes.
  ~Placed() {
    if (device_) places_.wait(where_.device);
  }

  const Places& places() const noexcept { return places_; }
  const Whereabouts& where() const noexcept { return where_; }
  Place place() const noexcept { return where_.place; }

  /// Valid while it is not on a device.
  Host& host() noexcept { return host_; }
  const Host& host() const noexcept { return host_; }
  /// Null while it is not on one.
  Device* device() noexcept { return device_ ? &*device_ : nullptr; }
  const Device* device() const noexcept { return device_ ? &*device_ : nullptr; }

  Result<cuda::Stream> stream() const { return places_.stream(where_.device); }

  /// Where a step of these is made: see Places::find. A device that has refused the object is not asked
  /// again.
  Result<Whereabouts> find(std::span<const at::Tensor> gradients,
                           std::span<const at::Tensor> parameters = {}) const {
    auto found = places_.find(gradients, parameters, where_);
    if (found && found->place == Place::device && refusal_) return places_.without_device(*refusal_);
    return found;
  }

  /// Moves it there, or to copies where the device refuses. `take(host, options, stream)` is Device::take.
  template <class Take>
  Status go_to(const Whereabouts& where, Take take) {
    if (where.place == where_.place && where.device == where_.device) return {};
    GRADSTAB_RETURN_IF_ERROR(come_home());
    if (where.place != Place::device) return stay(where);
    const auto stream = places_.stream(where.device);
    if (!stream) return stream.status();
    auto taken = take(host_, places_.device_options(where.device), *stream);
    if (taken) {
      device_.emplace(std::move(*taken));
      where_ = where;
      return {};
    }
    if (taken.status().code() != StatusCode::unsupported) return taken.status();
    refusal_ = taken.status();
    const auto instead = places_.without_device(*refusal_);
    return instead ? stay(*instead) : instead.status();
  }

  /// Brings it back to the host with all its state, where it is not there.
  Status come_home() {
    if (!device_) return {};
    // What the report says of NaN has been said.
    static_cast<void>(keep_report());
    const auto stream = this->stream();
    if (!stream) return stream.status();
    auto released = device_->release(*stream);
    if (!released) return released.status();
    host_ = std::move(*released);
    device_.reset();
    where_ = {};
    return {};
  }

  /// For another set of parameters, which a device may accept.
  void forget_refusal() noexcept { refusal_.reset(); }

  // ---- Reports ----

  void begin_step() noexcept {
    report_ = {};
    due_ = false;
  }
  void set_report(const StepReport& report) noexcept { report_ = report; }
  /// After a step on the device: the report is fetched when somebody asks for it.
  Status step_made(const Status& status) {
    due_ = status.ok();
    // Where the host decides, it has looked for NaN already.
    if (status.code() == StatusCode::non_finite) copy_report();
    return status;
  }
  bool is_due() const noexcept { return due_; }

  /// Fetches a report that is due, which otherwise goes with the next step. Errors: as Device::report.
  Status keep_report() {
    if (!std::exchange(due_, false)) return {};
    const auto stream = this->stream();
    if (!stream) return stream.status();
    GRADSTAB_RETURN_IF_ERROR(device_->request_report(*stream));
    Status status = device_->report().status();
    copy_report();
    return status;
  }
  const StepReport& report() const noexcept { return report_; }

  // ---- What both have ----

  const ParameterSet& parameters() const noexcept {
    return device_ ? device_->parameters() : host_.parameters();
  }
  /// Also of one too many, which the step refuses.
  const std::string& name_of_parameter(std::size_t index) const {
    static const std::string none;
    return index < parameters().size() ? parameters()[index].name : none;
  }
  std::string name() const { return device_ ? device_->name() : host_.name(); }
  std::string backend_name() const {
    if (device_) return std::string(device_->device_name());
    return std::string(host_.backend_name()) + (where_.place == Place::copies ? " (copies)" : "");
  }
  Result<std::vector<std::byte>> save() {
    if (!device_) return host_.save();
    const auto stream = this->stream();
    if (!stream) return stream.status();
    return device_->save(*stream);
  }
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names) {
    GRADSTAB_RETURN_IF_ERROR(come_home());
    return host_.load(bytes, names);
  }

 private:
  Status stay(const Whereabouts& where) {
    where_ = where;
    places_.warn_of_copies(where_, name());
    return {};
  }

  void copy_report() {
    report_ = device_->last_report();
    reported_.assign(report_.tensors.begin(), report_.tensors.end());
    report_.tensors = reported_;
  }

  Host host_;
  std::optional<Device> device_;  // has what `host_` was, while there is one
  Places places_;
  Whereabouts where_;
  std::optional<Status> refusal_;

  bool due_ = false;  // a report on the device, not yet asked for
  std::vector<TensorReport> reported_;
  StepReport report_;
};

}  // namespace gradstab
