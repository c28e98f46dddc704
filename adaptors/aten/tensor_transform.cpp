#include "aten/tensor_transform.hpp"

#include <ATen/ATen.h>

#include <utility>

#include "aten/tensor.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {

TensorTransform::TensorTransform(GradientTransform transform, RunOptions options)
    : options_(std::move(options)),
      placed_(std::move(transform), Places(options_)),
      gradient_copies_(placed_.places().emulates()),
      parameter_copies_(placed_.places().emulates()) {
  if (!options_.executor) options_.executor = torch_executor();
}

Status TensorTransform::validate() const {
  GRADSTAB_RETURN_IF_ERROR(placed_.host().validate());
  return find_backend(options_.backend).status();
}

Status TensorTransform::bind(ParameterSet parameters, std::vector<std::size_t> fresh) {
  GRADSTAB_RETURN_IF_ERROR(placed_.come_home());
  GradientTransform& host = placed_.host();
  if (bound_) {
    add_reshaped(host.parameters(), parameters, fresh);
    GRADSTAB_RETURN_IF_ERROR(host.rebind(std::move(parameters), fresh));
  } else {
    GRADSTAB_RETURN_IF_ERROR(host.init(std::move(parameters), options_));
  }
  bound_ = true;
  parts_.reset();
  placed_.forget_refusal();
  placed_.begin_step();
  return {};
}

Status TensorTransform::bind_parts(ParameterSet parameters, ParameterSet parts,
                                   std::vector<std::size_t> fresh) {
  GRADSTAB_RETURN_IF_ERROR(bind(std::move(parameters), std::move(fresh)));
  parts_ = std::move(parts);
  return {};
}

Status TensorTransform::go_to(const Whereabouts& where) {
  return placed_.go_to(where, [&](GradientTransform& host, cuda::DeviceOptions options, cuda::Stream stream) {
    options.nonfinite = options_.nonfinite;
    return cuda::Transform::take(host, options, stream, parts_);
  });
}

Result<GradientTransform*> TensorTransform::home() {
  GRADSTAB_RETURN_IF_ERROR(placed_.come_home());
  return &placed_.host();
}

Result<bool> TensorTransform::step(std::span<const at::Tensor> gradients,
                                   std::span<const at::Tensor> parameters) {
  const auto plain = plain_gradients_.take(gradients, this->parameters());
  if (!plain) return plain.status();
  std::span<const at::Tensor> values = {};
  if (needs_parameters() && !parameters.empty()) {
    const auto present = plain_parameters_.take_present(parameters, gradients, this->parameters());
    if (!present) return present.status();
    values = *present;
  }
  const auto go_on = step_plain(*plain, values);
  if (go_on && *go_on) plain_gradients_.return_to(gradients);
  plain_gradients_.clear();
  plain_parameters_.clear();
  return go_on;
}

/// Of plain tensors.
Result<bool> TensorTransform::step_plain(std::span<const at::Tensor> gradients,
                                         std::span<const at::Tensor> parameters) {
  const auto where = placed_.find(gradients);
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  placed_.begin_step();
  switch (placed_.place()) {
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

/// Over tensors in host memory.
Result<StepReport> TensorTransform::update(std::span<const at::Tensor> gradients,
                                           std::span<const at::Tensor> parameters) {
  const bool compares = needs_parameters() && !parameters.empty();
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(compares ? gradients.size() : 0, {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const std::string& name = placed_.name_of_parameter(i);
    auto gradient = tensor_ref(gradients[i], name);
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
    if (!compares) continue;
    auto parameter = tensor_ref(parameters[i], name);
    if (!parameter) return parameter.status();
    parameter_refs_[i] = *parameter;
  }
  auto report = placed_.host().update(gradient_refs_, parameter_refs_);
  placed_.set_report(placed_.host().report());
  return report;
}

Result<bool> TensorTransform::step_on_copies(std::span<const at::Tensor> gradients,
                                             std::span<const at::Tensor> parameters) {
  const bool compares = needs_parameters() && !parameters.empty();
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
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(take_device_gradients(gradients));
  return end_device_step(placed_.device()->update(gradient_refs_, *stream), gradients);
}

Status TensorTransform::take_device_gradients(std::span<const at::Tensor> gradients) {
  dense_.clear(gradients.size());
  gradient_refs_.assign(gradients.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    auto gradient = device_ref(dense_.add(i, gradients[i]), placed_.name_of_parameter(i));
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
  }
  return {};
}

Result<bool> TensorTransform::end_device_step(const Status& status, std::span<const at::Tensor> gradients) {
  GRADSTAB_RETURN_IF_ERROR(placed_.step_made(status));
  bool go_on = true;
  if (options_.nonfinite == NonFinitePolicy::skip_step || options_.nonfinite == NonFinitePolicy::raise) {
    GRADSTAB_RETURN_IF_ERROR(placed_.keep_report());
    go_on = !placed_.report().skip_step;
  }
  if (go_on) dense_.return_to(gradients);
  dense_.clear(0);
  return go_on;
}

Result<at::Tensor> TensorTransform::measure_parts(std::span<const at::Tensor> gradients) {
  const auto plain = plain_gradients_.take(gradients, parameters());
  if (!plain) return plain.status();
  auto squares = measure_plain_parts(*plain);
  if (!squares || !squares->defined()) plain_gradients_.clear();
  return squares;
}

Result<at::Tensor> TensorTransform::measure_plain_parts(std::span<const at::Tensor> gradients) {
  const auto where = placed_.find(gradients);
  if (!where) return where.status();
  if (where->place != Place::device) return at::Tensor();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  if (placed_.device() == nullptr) return at::Tensor();
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  placed_.begin_step();
  GRADSTAB_RETURN_IF_ERROR(take_device_gradients(gradients));
  GRADSTAB_RETURN_IF_ERROR(placed_.device()->measure(gradient_refs_, *stream));
  return squared_norms_on_device();
}

Result<bool> TensorTransform::finish_parts(std::span<const at::Tensor> gradients) {
  if (placed_.device() == nullptr)
    return Status(StatusCode::failed_precondition, "finish_parts was called before measure_parts");
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  const auto go_on = end_device_step(placed_.device()->finish(*stream), plain_gradients_.taken());
  if (go_on && *go_on) plain_gradients_.return_to(gradients);
  plain_gradients_.clear();
  return go_on;
}

/// The engine's own memory, which the next step writes.
at::Tensor TensorTransform::squared_norms_on_device() const {
  return view_of_squares(placed_.device()->squared_norms(), parameters().size(), placed_.where().device);
}

Result<StepReport> TensorTransform::decide_at_home(std::span<const double> squared_norms) {
  GRADSTAB_RETURN_IF_ERROR(placed_.come_home());
  placed_.begin_step();
  auto report = placed_.host().decide(squared_norms);
  placed_.set_report(placed_.host().report());
  return report;
}

Result<at::Tensor> TensorTransform::raw_norms() {
  // Those of absent gradients are zero.
  if (placed_.is_due()) return squared_norms_on_device().clamp_min(0).sqrt();
  at::Tensor norms = at::empty({static_cast<std::int64_t>(placed_.report().tensors.size())}, at::kDouble);
  auto* norm = norms.data_ptr<double>();
  for (const TensorReport& tensor : placed_.report().tensors) *norm++ = tensor.raw_norm;
  return norms;
}

Result<StepReport> TensorTransform::report() {
  GRADSTAB_RETURN_IF_ERROR(placed_.keep_report());
  return placed_.report();
}

bool TensorTransform::needs_parameters() const noexcept {
  return placed_.device() == nullptr && placed_.host().needs_parameters();
}

Result<std::vector<MethodState>> TensorTransform::state() {
  if (placed_.device() == nullptr) return placed_.host().state();
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  return placed_.device()->state(*stream);
}

}  // namespace gradstab
