#include "gradstab/libtorch_optimizer.hpp"

#include <utility>

namespace gradstab {

TensorOptimizer::TensorOptimizer(OptimizerOptions options, std::optional<GradientTransform> transform,
                                 OptimizerRunOptions run)
    : host_(std::move(options), std::move(transform)),
      run_(std::move(run)),
      places_(run_.run),
      gradient_copies_(places_.emulates()),
      parameter_copies_(places_.emulates()) {
  if (!run_.run.executor) run_.run.executor = torch_executor();
}

TensorOptimizer::~TensorOptimizer() {
  if (device_) places_.wait(where_.device);
}

Status TensorOptimizer::validate() {
  return bound_ ? Status() : host_.init({}, run_);
}

Status TensorOptimizer::bind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups) {
  GRADSTAB_RETURN_IF_ERROR(home().status());
  GRADSTAB_RETURN_IF_ERROR(bound_ ? host_.rebind(std::move(parameters), groups)
                                  : host_.init(std::move(parameters), run_, groups));
  bound_ = true;
  refusal_.reset();
  measured_.assign(host_.parameters().size(), {});
  ones_.assign(host_.parameters().size(), {});
  report_ = {};
  return {};
}

Result<Optimizer*> TensorOptimizer::home() {
  if (!device_) return &host_;
  // What is kept of the report is kept, whatever it says.
  static_cast<void>(keep_report());
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  auto released = device_->release(*stream);
  if (!released) return released.status();
  host_ = std::move(*released);
  device_.reset();
  where_ = {};
  return &host_;
}

Status TensorOptimizer::go_to(const Whereabouts& where) {
  if (where.place == where_.place && where.device == where_.device) return {};
  GRADSTAB_RETURN_IF_ERROR(home().status());
  if (where.place == Place::device) {
    const auto stream = places_.stream(where.device);
    if (!stream) return stream.status();
    cuda::DeviceOptions options = places_.device_options(where.device);
    options.nonfinite = run_.run.nonfinite;
    options.low_precision = run_.low_precision;
    options.seed = run_.seed;
    auto taken = cuda::Optimizer::take(host_, options, *stream);
    if (taken) {
      device_.emplace(std::move(*taken));
      where_ = where;
      return {};
    }
    if (taken.status().code() != StatusCode::unsupported) return taken.status();
    refusal_ = taken.status();
    auto instead = places_.without_device(*refusal_);
    if (!instead) return instead.status();
    where_ = std::move(*instead);
  } else {
    where_ = where;
  }
  places_.warn_of_copies(where_, name());
  return {};
}

/// Where a step of these is made. The parameters that count are those whose gradient is defined.
Result<Whereabouts> TensorOptimizer::place_of(std::span<const at::Tensor> parameters,
                                              std::span<const at::Tensor> gradients) {
  auto where = places_.find(gradients, parameters, where_);
  // A device that has refused the optimizer does so in every step.
  if (where && where->place == Place::device && refusal_) return places_.without_device(*refusal_);
  return where;
}

Status TensorOptimizer::set_options(std::size_t group, OptimizerOptions options) {
  if (!device_) return host_.set_options(group, std::move(options));
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return device_->set_options(group, std::move(options), *stream);
}

Status TensorOptimizer::set_lr(std::size_t group, double lr) {
  if (!device_) return host_.set_lr(group, lr);
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return device_->set_lr(group, lr, *stream);
}

/// Also of one too many, which the step refuses.
const std::string& TensorOptimizer::name_of_parameter(std::size_t index) const {
  static const std::string none;
  return index < parameters().size() ? parameters()[index].name : none;
}

Result<bool> TensorOptimizer::step(std::span<const at::Tensor> parameters,
                                   std::span<const at::Tensor> gradients) {
  const auto where = place_of(parameters, gradients);
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  report_ = {};
  report_is_due_ = false;
  switch (where_.place) {
    case Place::device:
      return step_on_device(parameters, gradients);
    case Place::copies:
      return step_on_copies(parameters, gradients);
    case Place::host:
      break;
  }
  const auto report = update(parameters, gradients);
  if (!report) return report.status();
  return !report->skip_step;
}

/// Over tensors in host memory.
Result<StepReport> TensorOptimizer::update(std::span<const at::Tensor> parameters,
                                           std::span<const at::Tensor> gradients) {
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(parameters.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const std::string& name = name_of_parameter(i);
    auto gradient = tensor_ref(gradients[i], name);
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
    auto parameter = tensor_ref(parameters[i], name);
    if (!parameter) return parameter.status();
    parameter_refs_[i] = *parameter;
    GRADSTAB_RETURN_IF_ERROR(measure_again_if_written(i, gradients[i], gradient_refs_[i]));
  }
  auto report = host_.step(parameter_refs_, gradient_refs_);
  report_ = host_.report();
  if (report) measured_.assign(measured_.size(), {});
  return report;
}

Result<bool> TensorOptimizer::step_on_copies(std::span<const at::Tensor> parameters,
                                             std::span<const at::Tensor> gradients) {
  const std::size_t count = gradients.size();
  used_.assign(count * 2, {});
  for (std::size_t i = 0; i < count; ++i) {
    if (!gradients[i].defined()) continue;
    used_[i] = parameter_copies_.fetch(i, parameters[i]);
    used_[count + i] = gradient_copies_.fetch(i, gradients[i]);
  }
  const std::span<const at::Tensor> used(used_);
  const auto report = update(used.first(count), used.subspan(count));
  if (!report) return report.status();
  if (report->skip_step) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (gradients[i].defined()) parameter_copies_.return_to(i, parameters[i]);
  }
  return true;
}

Result<bool> TensorOptimizer::step_on_device(std::span<const at::Tensor> parameters,
                                             std::span<const at::Tensor> gradients) {
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  dense_.clear(gradients.size());
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(parameters.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const std::string& name = name_of_parameter(i);
    auto gradient = device_ref(dense_.add(i, gradients[i], parameters[i]), name);
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
    auto parameter = device_ref(parameters[i], name);
    if (!parameter) return parameter.status();
    parameter_refs_[i] = *parameter;
  }
  const Status status = device_->step(parameter_refs_, gradient_refs_, *stream);
  dense_.clear(0);
  if (!status.ok()) {
    // Where the host decides, it has looked for NaN already.
    if (status.code() == StatusCode::non_finite) copy_report();
    return status;
  }
  report_is_due_ = true;
  if (run_.run.nonfinite == NonFinitePolicy::raise) GRADSTAB_RETURN_IF_ERROR(keep_report());
  return true;
}

Status TensorOptimizer::step_one(std::size_t index, const at::Tensor& parameter, const at::Tensor& gradient) {
  const auto where = place_of({&parameter, 1}, {&gradient, 1});
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  if (where_.place == Place::device) return step_one_on_device(index, parameter, gradient);
  const bool copies = where_.place == Place::copies;
  const std::string& name = name_of_parameter(index);
  const at::Tensor& used_gradient = copies ? gradient_copies_.fetch(index, gradient) : gradient;
  const at::Tensor& used_parameter = copies ? parameter_copies_.fetch(index, parameter) : parameter;
  auto gradient_ref = tensor_ref(used_gradient, name);
  if (!gradient_ref) return gradient_ref.status();
  auto parameter_ref = tensor_ref(used_parameter, name);
  if (!parameter_ref) return parameter_ref.status();
  GRADSTAB_RETURN_IF_ERROR(measure_again_if_written(index, used_gradient, *gradient_ref));
  const auto report = host_.step_one(index, *parameter_ref, *gradient_ref);
  if (!report) return report.status();
  measured_[index].reset();
  ones_[index] = *report;
  if (copies) parameter_copies_.return_to(index, parameter);
  return {};
}

Status TensorOptimizer::step_one_on_device(std::size_t index, const at::Tensor& parameter,
                                           const at::Tensor& gradient) {
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  const std::string& name = name_of_parameter(index);
  dense_.clear(1);
  auto gradient_ref = device_ref(dense_.add(0, gradient, parameter), name);
  if (!gradient_ref) return gradient_ref.status();
  auto parameter_ref = device_ref(parameter, name);
  if (!parameter_ref) return parameter_ref.status();
  GRADSTAB_RETURN_IF_ERROR(device_->step_one(index, *parameter_ref, *gradient_ref, *stream));
  dense_.clear(0);
  report_is_due_ = true;
  return run_.run.nonfinite == NonFinitePolicy::raise ? keep_report() : Status();
}

Result<TensorReport> TensorOptimizer::report_of_one(std::size_t index) {
  if (device_) GRADSTAB_RETURN_IF_ERROR(keep_report());
  return ones_[index];
}

Status TensorOptimizer::can_step_one(std::span<const at::Tensor> parameters) {
  const auto where = place_of(parameters, parameters);
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  return device_ ? device_->can_step_one() : host_.can_step_one();
}

Status TensorOptimizer::measure_one(std::size_t index, const at::Tensor& gradient) {
  if (!gradient.device().is_cpu() || device_ || places_.emulates()) return {};
  auto reference = tensor_ref(gradient, name_of_parameter(index));
  if (!reference) return reference.status();
  GRADSTAB_RETURN_IF_ERROR(host_.measure_one(index, *reference));
  measured_[index].emplace(gradient);
  return {};
}

Status TensorOptimizer::measure_again_if_written(std::size_t index, const at::Tensor& gradient,
                                                 const TensorRef& reference) {
  if (index >= measured_.size() || !measured_[index] || measured_[index]->is(gradient)) return {};
  GRADSTAB_RETURN_IF_ERROR(host_.measure_one(index, reference));
  measured_[index].emplace(gradient);
  return {};
}

/// Takes the report of the last step from the device, whose memory it would otherwise go with.
Status TensorOptimizer::keep_report() {
  if (!std::exchange(report_is_due_, false)) return {};
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(device_->request_report(*stream));
  const Status status = device_->report().status();
  copy_report();
  ones_ = reported_;
  return status;
}

void TensorOptimizer::copy_report() {
  report_ = device_->last_report();
  reported_.assign(report_.tensors.begin(), report_.tensors.end());
  report_.tensors = reported_;
}

Result<StepReport> TensorOptimizer::report() {
  if (device_) GRADSTAB_RETURN_IF_ERROR(keep_report());
  return report_;
}

const ParameterSet& TensorOptimizer::parameters() const noexcept {
  return device_ ? device_->parameters() : host_.parameters();
}

std::string TensorOptimizer::name() const {
  return device_ ? device_->name() : host_.name();
}

std::string TensorOptimizer::backend_name() const {
  if (device_) return std::string(device_->device_name());
  return std::string(host_.backend_name()) + (where_.place == Place::copies ? " (copies)" : "");
}

Result<std::vector<std::byte>> TensorOptimizer::save() {
  if (!device_) return host_.save();
  const auto stream = places_.stream(where_.device);
  if (!stream) return stream.status();
  return device_->save(*stream);
}

Status TensorOptimizer::load(std::span<const std::byte> bytes) {
  const auto optimizer = home();
  if (!optimizer) return optimizer.status();
  return (*optimizer)->load(bytes);
}

}  // namespace gradstab
