#include "gradstab/libtorch_transform.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "gradstab/backend.hpp"
#include "gradstab/libtorch_tensor.hpp"

namespace gradstab {

TensorTransform::TensorTransform(GradientTransform transform, RunOptions options)
    : host_(std::move(transform)),
      options_(std::move(options)),
      places_(options_),
      gradient_copies_(places_.emulates()),
      parameter_copies_(places_.emulates()) {
  if (!options_.executor) options_.executor = torch_executor();
}

TensorTransform::~TensorTransform() {
  if (device_) places_.wait(where_.device);
}

Status TensorTransform::validate() const {
  GRADSTAB_RETURN_IF_ERROR(host_.validate());
  return find_backend(options_.backend).status();
}

Status TensorTransform::bind(ParameterSet parameters) {
  auto transform = home();
  if (!transform) return transform.status();
  const Status status =
      bound_ ? host_.rebind(std::move(parameters)) : host_.init(std::move(parameters), options_);
  GRADSTAB_RETURN_IF_ERROR(status);
  bound_ = true;
  parts_.reset();
  refusal_.reset();
  report_ = {};
  return {};
}

Status TensorTransform::bind_parts(ParameterSet parameters, ParameterSet parts) {
  GRADSTAB_RETURN_IF_ERROR(bind(std::move(parameters)));
  parts_ = std::move(parts);
  return {};
}

Result<GradientTransform*> TensorTransform::home() {
  if (!device_) return &host_;
  GRADSTAB_RETURN_IF_ERROR(keep_report());
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  auto released = device_->release(*stream);
  if (!released) return released.status();
  host_ = std::move(*released);
  device_.reset();
  where_ = {};
  return &host_;
}

Status TensorTransform::go_to(const Whereabouts& where) {
  if (where.place == where_.place && where.device == where_.device) return {};
  GRADSTAB_RETURN_IF_ERROR(home().status());
  if (where.place != Place::device) {
    where_ = where;
    places_.warn_of_copies(where_, name());
    return {};
  }
  if (!refusal_) {
    const auto stream = places_.stream(where.device);
    if (!stream) return stream.status();
    cuda::DeviceOptions options = places_.device_options(where.device);
    options.nonfinite = options_.nonfinite;
    auto taken = cuda::Transform::take(host_, options, *stream, parts_);
    if (taken) {
      device_.emplace(std::move(*taken));
      where_ = where;
      return {};
    }
    if (taken.status().code() != StatusCode::unsupported) return taken.status();
    refusal_ = taken.status();
  }
  auto instead = places_.without_device(*refusal_);
  if (!instead) return instead.status();
  where_ = std::move(*instead);
  places_.warn_of_copies(where_, name());
  return {};
}

Result<bool> TensorTransform::step(std::span<const at::Tensor> gradients,
                                   std::span<const at::Tensor> parameters) {
  auto where = places_.find(gradients, {}, where_);
  if (!where) return where.status();
  // A device that has refused the method does so in every step.
  if (where->place == Place::device && refusal_) *where = {Place::copies, at::kCPU, refusal_->message()};
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  report_ = {};
  report_is_due_ = false;
  switch (where_.place) {
    case Place::device:
      return step_on_device(gradients);
    case Place::copies:
      return step_on_copies(gradients, parameters);
    case Place::host:
      break;
  }
  const auto report = update(gradients, parameters);
  if (!report) return report.status();
  return !report->skip_step;
}

/// Also of one too many, which the step refuses.
const std::string& TensorTransform::name_of_parameter(std::size_t index) const {
  static const std::string none;
  return index < parameters().size() ? parameters()[index].name : none;
}

/// Over tensors in host memory.
Result<StepReport> TensorTransform::update(std::span<const at::Tensor> gradients,
                                           std::span<const at::Tensor> parameters) {
  const bool compares = host_.needs_parameters() && !parameters.empty();
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(compares ? gradients.size() : 0, {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const std::string& name = name_of_parameter(i);
    auto gradient = tensor_ref(gradients[i], name);
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
    if (!compares) continue;
    auto parameter = tensor_ref(parameters[i], name);
    if (!parameter) return parameter.status();
    parameter_refs_[i] = *parameter;
  }
  auto report = host_.update(gradient_refs_, parameter_refs_);
  report_ = host_.report();
  return report;
}

Result<bool> TensorTransform::step_on_copies(std::span<const at::Tensor> gradients,
                                             std::span<const at::Tensor> parameters) {
  const bool compares = host_.needs_parameters() && !parameters.empty();
  used_.assign(gradients.size() * (compares ? 2 : 1), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    used_[i] = gradient_copies_.fetch(i, gradients[i]);
    if (compares) used_[gradients.size() + i] = parameter_copies_.fetch(i, parameters[i]);
  }
  const std::span<const at::Tensor> used(used_);
  const auto report = update(used.first(gradients.size()), used.subspan(gradients.size()));
  if (!report) return report.status();
  if (report->skip_step) return false;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].defined()) gradient_copies_.return_to(i, gradients[i]);
  }
  return true;
}

Result<bool> TensorTransform::step_on_device(std::span<const at::Tensor> gradients) {
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(take_device_gradients(gradients));
  return end_device_step(device_->update(gradient_refs_, *stream), gradients);
}

Status TensorTransform::take_device_gradients(std::span<const at::Tensor> gradients) {
  dense_.clear(gradients.size());
  gradient_refs_.assign(gradients.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    auto gradient = device_ref(dense_.add(i, gradients[i]), name_of_parameter(i));
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
  }
  return {};
}

Result<bool> TensorTransform::end_device_step(const Status& status, std::span<const at::Tensor> gradients) {
  report_is_due_ = status.ok();
  if (!status.ok()) {
    // Where the host decides, it has looked for NaN already.
    if (status.code() == StatusCode::non_finite) copy_report();
    return status;
  }
  bool go_on = true;
  if (options_.nonfinite == NonFinitePolicy::skip_step || options_.nonfinite == NonFinitePolicy::raise) {
    GRADSTAB_RETURN_IF_ERROR(keep_report());
    go_on = !report_.skip_step;
  }
  if (go_on) dense_.return_to(gradients);
  dense_.clear(0);
  return go_on;
}

/// Takes the report of the last step from the device, whose memory it would otherwise go with.
Status TensorTransform::keep_report() {
  if (!std::exchange(report_is_due_, false)) return {};
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(device_->request_report(*stream));
  const Status status = device_->report().status();
  copy_report();
  return status;
}

void TensorTransform::copy_report() {
  report_ = device_->last_report();
  reported_.assign(report_.tensors.begin(), report_.tensors.end());
  report_.tensors = reported_;
}

Result<at::Tensor> TensorTransform::measure_parts(std::span<const at::Tensor> gradients) {
  auto where = places_.find(gradients, {}, where_);
  if (!where) return where.status();
  if (where->place != Place::device || refusal_) return at::Tensor();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  if (!device_) return at::Tensor();
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  report_ = {};
  report_is_due_ = false;
  GRADSTAB_RETURN_IF_ERROR(take_device_gradients(gradients));
  GRADSTAB_RETURN_IF_ERROR(device_->measure(gradient_refs_, *stream));
  return squared_norms_on_device();
}

Result<bool> TensorTransform::finish_parts(std::span<const at::Tensor> gradients) {
  if (!device_)
    return Status(StatusCode::failed_precondition, "finish_parts was called before measure_parts");
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return end_device_step(device_->finish(*stream), gradients);
}

/// The engine's own memory, which the next step writes.
at::Tensor TensorTransform::squared_norms_on_device() const {
  const auto count = static_cast<std::int64_t>(parameters().size());
  return at::for_blob(device_->squared_norms(), {count})
      .options(at::TensorOptions(at::kDouble).device(where_.device))
      .target_device(where_.device)
      .make_tensor();
}

Result<StepReport> TensorTransform::step_at_home(std::span<const TensorRef> gradients) {
  GRADSTAB_RETURN_IF_ERROR(home().status());
  report_is_due_ = false;
  auto report = host_.update(gradients);
  report_ = host_.report();
  return report;
}

Result<at::Tensor> TensorTransform::raw_norms() {
  // Those of absent gradients are zero.
  if (report_is_due_) return squared_norms_on_device().clamp_min(0).sqrt();
  at::Tensor norms = at::empty({static_cast<std::int64_t>(report_.tensors.size())}, at::kDouble);
  auto* norm = norms.data_ptr<double>();
  for (const TensorReport& tensor : report_.tensors) *norm++ = tensor.raw_norm;
  return norms;
}

Result<StepReport> TensorTransform::report() {
  if (device_) GRADSTAB_RETURN_IF_ERROR(keep_report());
  return report_;
}

bool TensorTransform::needs_parameters() const noexcept {
  return !device_ && host_.needs_parameters();
}

const ParameterSet& TensorTransform::parameters() const noexcept {
  return device_ ? device_->parameters() : host_.parameters();
}

std::string TensorTransform::name() const {
  return device_ ? device_->name() : host_.name();
}

std::string TensorTransform::backend_name() const {
  if (device_) return std::string(device_->device_name());
  return std::string(host_.backend_name()) + (where_.place == Place::copies ? " (copies)" : "");
}

Result<std::vector<MethodState>> TensorTransform::state() {
  if (!device_) return host_.state();
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return device_->state(*stream);
}

Result<std::vector<std::byte>> TensorTransform::save() {
  if (!device_) return host_.save();
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return device_->save(*stream);
}

Status TensorTransform::load(std::span<const std::byte> bytes) {
  auto transform = home();
  if (!transform) return transform.status();
  return (*transform)->load(bytes);
}

}  // namespace gradstab
