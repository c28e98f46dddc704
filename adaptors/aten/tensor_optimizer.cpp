#include "aten/tensor_optimizer.hpp"

#include <utility>

#include "aten/tensor.hpp"

namespace gradstab {

TensorOptimizer::TensorOptimizer(OptimizerOptions options, std::optional<GradientTransform> transform,
                                 OptimizerRunOptions run)
    : run_(std::move(run)),
      placed_(Optimizer(options, std::move(transform)), Places(run_.run)),
      plain_gradients_(TensorUse::optimizers_gradients, std::holds_alternative<SgdOptions>(options)),
      gradient_copies_(placed_.places().emulates()),
      parameter_copies_(placed_.places().emulates()) {
  if (!run_.run.executor) run_.run.executor = torch_executor();
}

Status TensorOptimizer::validate() {
  return bound_ ? Status() : placed_.host().init({}, run_);
}

Status TensorOptimizer::bind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups,
                             bool in_parts, std::vector<std::size_t> fresh) {
  GRADSTAB_RETURN_IF_ERROR(placed_.come_home());
  Optimizer& host = placed_.host();
  if (bound_) {
    add_reshaped(host.parameters(), parameters, fresh);
    GRADSTAB_RETURN_IF_ERROR(host.rebind(std::move(parameters), groups, fresh));
    const ParameterSet& now = host.parameters();
    for (const std::size_t index : fresh) without_copy_.erase(now[index].name);
    std::erase_if(without_copy_, [&](const auto& waiting) { return now.find(waiting.first) < 0; });
  } else {
    GRADSTAB_RETURN_IF_ERROR(host.init(std::move(parameters), run_, groups));
  }
  bound_ = true;
  in_parts_ = in_parts;
  measured_.assign(host.parameters().size(), {});
  ones_.assign(host.parameters().size(), {});
  placed_.forget_refusal();
  placed_.begin_step();
  return {};
}

Result<Optimizer*> TensorOptimizer::home() {
  GRADSTAB_RETURN_IF_ERROR(keep_reports_of_ones());
  GRADSTAB_RETURN_IF_ERROR(placed_.come_home());
  return &placed_.host();
}

Result<std::vector<std::byte>> TensorOptimizer::save(std::span<const at::Tensor> parameters) {
  GRADSTAB_RETURN_IF_ERROR(make_copies(parameters));
  return placed_.save();
}

Result<Optimizer::ParameterState> TensorOptimizer::parameter_state(std::size_t index) {
  const auto waiting = without_copy_.find(placed_.name_of_parameter(index));
  if (waiting != without_copy_.end()) return waiting->second;
  const auto host = home();
  if (!host) return host.status();
  return (*host)->parameter_state(index);
}

Result<std::int64_t> TensorOptimizer::step_of(std::size_t index) {
  const auto waiting = without_copy_.find(placed_.name_of_parameter(index));
  if (waiting != without_copy_.end()) return waiting->second.step;
  const auto host = home();
  if (!host) return host.status();
  return (*host)->step_of(index);
}

Status TensorOptimizer::set_parameter_state(std::size_t index, DType dtype, Optimizer::ParameterState state) {
  const auto host = home();
  if (!host) return host.status();
  const std::string& name = placed_.name_of_parameter(index);
  without_copy_.erase(name);
  const bool copies = dtype == DType::bfloat16 && run_.low_precision == LowPrecision::master_copy;
  if (!copies || !state.master.empty() || (state.step == 0 && state.values.empty()))
    return (*host)->set_parameter_state(index, dtype, state);
  // What is wrong with it is said now.
  Optimizer::ParameterState complete = state;
  complete.master.assign(static_cast<std::size_t>(element_count(parameters()[index].sizes)), 0.0);
  GRADSTAB_RETURN_IF_ERROR((*host)->set_parameter_state(index, dtype, complete));
  GRADSTAB_RETURN_IF_ERROR((*host)->set_parameter_state(index, dtype, {0, {}, {}, state.steps}));
  without_copy_.emplace(name, std::move(state));
  return {};
}

Status TensorOptimizer::make_copy(std::size_t index, const at::Tensor& parameter) {
  const auto waiting = without_copy_.find(placed_.name_of_parameter(index));
  if (waiting == without_copy_.end() || !parameter.defined()) return {};
  Optimizer::ParameterState state = waiting->second;
  state.master = in_memory_order(parameter, parameter);
  return set_parameter_state(index, DType::bfloat16, std::move(state));
}

Status TensorOptimizer::make_copies(std::span<const at::Tensor> parameters, std::size_t first) {
  for (std::size_t i = 0; i < parameters.size() && !without_copy_.empty(); ++i)
    GRADSTAB_RETURN_IF_ERROR(make_copy(first + i, parameters[i]));
  return {};
}

Status TensorOptimizer::go_to(const Whereabouts& where) {
  return placed_.go_to(where, [&](Optimizer& host, cuda::DeviceOptions options, cuda::Stream stream) {
    options.nonfinite = run_.run.nonfinite;
    options.low_precision = run_.low_precision;
    options.seed = run_.seed;
    return cuda::Optimizer::take(host, options, stream, in_parts_);
  });
}

Status TensorOptimizer::set_options(std::size_t group, OptimizerOptions options) {
  if (placed_.device() == nullptr) return placed_.host().set_options(group, std::move(options));
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  return placed_.device()->set_options(group, std::move(options), *stream);
}

Status TensorOptimizer::set_lr(std::size_t group, double lr) {
  if (placed_.device() == nullptr) return placed_.host().set_lr(group, lr);
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  return placed_.device()->set_lr(group, lr, *stream);
}

/// The tensors of a step as plain ones; of a single parameter, with the index of that one.
Status TensorOptimizer::take_plain(std::span<const at::Tensor> parameters,
                                   std::span<const at::Tensor> gradients, std::size_t first) {
  GRADSTAB_RETURN_IF_ERROR(make_copies(parameters, first));
  GRADSTAB_RETURN_IF_ERROR(plain_gradients_.take(gradients, this->parameters(), first).status());
  if (first == 0) return plain_parameters_.take_present(parameters, gradients, this->parameters()).status();
  return plain_parameters_.take(parameters, this->parameters(), first).status();
}

/// Ends what `take_plain` began.
template <class Outcome>
Outcome TensorOptimizer::give_back(Outcome outcome, std::span<const at::Tensor> parameters) {
  if (outcome.ok()) plain_parameters_.return_to(parameters);
  plain_parameters_.clear();
  plain_gradients_.clear();
  return outcome;
}

Result<bool> TensorOptimizer::step(std::span<const at::Tensor> parameters,
                                   std::span<const at::Tensor> gradients) {
  GRADSTAB_RETURN_IF_ERROR(take_plain(parameters, gradients));
  return give_back(step_plain(plain_parameters_.taken(), plain_gradients_.taken()), parameters);
}

Result<bool> TensorOptimizer::step_plain(std::span<const at::Tensor> parameters,
                                         std::span<const at::Tensor> gradients) {
  GRADSTAB_RETURN_IF_ERROR(begin_step(parameters, gradients));
  if (placed_.place() != Place::device) {
    GRADSTAB_RETURN_IF_ERROR(take_on_host(parameters, gradients));
    return end_host_step(placed_.host().step(parameter_refs_, gradient_refs_), parameters, gradients);
  }
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(take_on_device(parameters, gradients));
  return end_device_step(placed_.device()->step(parameter_refs_, gradient_refs_, *stream));
}

Result<at::Tensor> TensorOptimizer::measure_parts(std::span<const at::Tensor> parameters,
                                                  std::span<const at::Tensor> gradients) {
  GRADSTAB_RETURN_IF_ERROR(take_plain(parameters, gradients));
  auto squares = measure_plain_parts(plain_parameters_.taken(), plain_gradients_.taken());
  if (!squares) {
    plain_parameters_.clear();
    plain_gradients_.clear();
  }
  return squares;
}

Result<at::Tensor> TensorOptimizer::measure_plain_parts(std::span<const at::Tensor> parameters,
                                                        std::span<const at::Tensor> gradients) {
  GRADSTAB_RETURN_IF_ERROR(begin_step(parameters, gradients));
  if (placed_.place() != Place::device) {
    GRADSTAB_RETURN_IF_ERROR(take_on_host(parameters, gradients));
    GRADSTAB_RETURN_IF_ERROR(placed_.host().measure(parameter_refs_, gradient_refs_));
    return view_of_squares(placed_.host().squared_norms().data(), parameters.size(), at::kCPU);
  }
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  GRADSTAB_RETURN_IF_ERROR(take_on_device(parameters, gradients));
  GRADSTAB_RETURN_IF_ERROR(placed_.device()->measure(parameter_refs_, gradient_refs_, *stream));
  return view_of_squares(placed_.device()->squared_norms(), parameters.size(), placed_.where().device);
}

Result<bool> TensorOptimizer::finish_parts(std::span<const at::Tensor> parameters,
                                           std::span<const at::Tensor>) {
  return give_back(finish_plain(plain_parameters_.taken(), plain_gradients_.taken()), parameters);
}

Result<bool> TensorOptimizer::finish_plain(std::span<const at::Tensor> parameters,
                                           std::span<const at::Tensor> gradients) {
  if (placed_.place() != Place::device) return end_host_step(placed_.host().finish(), parameters, gradients);
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  return end_device_step(placed_.device()->finish(*stream));
}

/// Goes to where the tensors are.
Status TensorOptimizer::begin_step(std::span<const at::Tensor> parameters,
                                   std::span<const at::Tensor> gradients) {
  const auto where = placed_.find(gradients, parameters);
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  placed_.begin_step();
  return {};
}

/// The tensors of a step as the host takes them: copies, where they are elsewhere.
Status TensorOptimizer::take_on_host(std::span<const at::Tensor> parameters,
                                     std::span<const at::Tensor> gradients) {
  const bool copies = placed_.place() == Place::copies;
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(parameters.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const at::Tensor& parameter = copies ? parameter_copies_.fetch(i, parameters[i]) : parameters[i];
    const at::Tensor& gradient = copies ? gradient_copies_.fetch(i, gradients[i]) : gradients[i];
    const std::string& name = placed_.name_of_parameter(i);
    auto gradient_ref = tensor_ref(gradient, name);
    if (!gradient_ref) return gradient_ref.status();
    gradient_refs_[i] = *gradient_ref;
    auto parameter_ref = tensor_ref(parameter, name);
    if (!parameter_ref) return parameter_ref.status();
    parameter_refs_[i] = *parameter_ref;
    GRADSTAB_RETURN_IF_ERROR(measure_again_if_written(i, gradient, gradient_refs_[i]));
  }
  return {};
}

Result<bool> TensorOptimizer::end_host_step(const Result<StepReport>& report,
                                            std::span<const at::Tensor> parameters,
                                            std::span<const at::Tensor> gradients) {
  placed_.set_report(placed_.host().report());
  if (!report) return report.status();
  measured_.assign(measured_.size(), {});
  if (report->skip_step) return false;
  for (std::size_t i = 0; placed_.place() == Place::copies && i < gradients.size(); ++i) {
    if (gradients[i].defined()) parameter_copies_.return_to(i, parameters[i]);
  }
  return true;
}

Status TensorOptimizer::take_on_device(std::span<const at::Tensor> parameters,
                                       std::span<const at::Tensor> gradients) {
  dense_.clear(gradients.size());
  gradient_refs_.assign(gradients.size(), {});
  parameter_refs_.assign(parameters.size(), {});
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const std::string& name = placed_.name_of_parameter(i);
    auto gradient = device_ref(dense_.add(i, gradients[i], parameters[i]), name);
    if (!gradient) return gradient.status();
    gradient_refs_[i] = *gradient;
    auto parameter = device_ref(parameters[i], name);
    if (!parameter) return parameter.status();
    parameter_refs_[i] = *parameter;
  }
  return {};
}

Result<bool> TensorOptimizer::end_device_step(const Status& made) {
  const Status status = placed_.step_made(made);
  dense_.clear(0);
  GRADSTAB_RETURN_IF_ERROR(status);
  if (run_.run.nonfinite == NonFinitePolicy::raise) GRADSTAB_RETURN_IF_ERROR(placed_.keep_report());
  return true;
}

Status TensorOptimizer::step_one(std::size_t index, const at::Tensor& parameter, const at::Tensor& gradient) {
  GRADSTAB_RETURN_IF_ERROR(take_plain({&parameter, 1}, {&gradient, 1}, index));
  return give_back(step_one_plain(index, plain_parameters_.taken().front(), plain_gradients_.taken().front()),
                   {&parameter, 1});
}

Status TensorOptimizer::step_one_plain(std::size_t index, const at::Tensor& parameter,
                                       const at::Tensor& gradient) {
  const auto where = placed_.find({&gradient, 1}, {&parameter, 1});
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  if (placed_.place() == Place::device) return step_one_on_device(index, parameter, gradient);
  const bool copies = placed_.place() == Place::copies;
  const std::string& name = placed_.name_of_parameter(index);
  const at::Tensor& used_gradient = copies ? gradient_copies_.fetch(index, gradient) : gradient;
  const at::Tensor& used_parameter = copies ? parameter_copies_.fetch(index, parameter) : parameter;
  auto gradient_ref = tensor_ref(used_gradient, name);
  if (!gradient_ref) return gradient_ref.status();
  auto parameter_ref = tensor_ref(used_parameter, name);
  if (!parameter_ref) return parameter_ref.status();
  GRADSTAB_RETURN_IF_ERROR(measure_again_if_written(index, used_gradient, *gradient_ref));
  const auto report = placed_.host().step_one(index, *parameter_ref, *gradient_ref);
  if (!report) return report.status();
  measured_[index].reset();
  ones_[index] = *report;
  if (copies) parameter_copies_.return_to(index, parameter);
  return {};
}

Status TensorOptimizer::step_one_on_device(std::size_t index, const at::Tensor& parameter,
                                           const at::Tensor& gradient) {
  const auto stream = placed_.stream();
  if (!stream) return stream.status();
  const std::string& name = placed_.name_of_parameter(index);
  dense_.clear(1);
  auto gradient_ref = device_ref(dense_.add(0, gradient, parameter), name);
  if (!gradient_ref) return gradient_ref.status();
  auto parameter_ref = device_ref(parameter, name);
  if (!parameter_ref) return parameter_ref.status();
  const Status status =
      placed_.step_made(placed_.device()->step_one(index, *parameter_ref, *gradient_ref, *stream));
  dense_.clear(0);
  GRADSTAB_RETURN_IF_ERROR(status);
  return run_.run.nonfinite == NonFinitePolicy::raise ? keep_reports_of_ones() : Status();
}

/// Those of all parameters that the device has stepped, since they come together.
Status TensorOptimizer::keep_reports_of_ones() {
  if (!placed_.is_due()) return {};
  const Status status = placed_.keep_report();
  ones_.assign(placed_.report().tensors.begin(), placed_.report().tensors.end());
  return status;
}

Result<TensorReport> TensorOptimizer::report_of_one(std::size_t index) {
  GRADSTAB_RETURN_IF_ERROR(keep_reports_of_ones());
  return ones_[index];
}

Status TensorOptimizer::can_step_one(std::span<const at::Tensor> parameters) {
  PlainTensors plain(TensorUse::compared_parameters);
  const auto taken = plain.take(parameters, this->parameters());
  if (taken) parameters = *taken;  // otherwise each step will say what is wrong with its parameter
  const auto where = placed_.find(parameters, parameters);
  if (!where) return where.status();
  GRADSTAB_RETURN_IF_ERROR(go_to(*where));
  return placed_.device() != nullptr ? placed_.device()->can_step_one() : placed_.host().can_step_one();
}

Status TensorOptimizer::measure_one(std::size_t index, const at::Tensor& gradient) {
  if (!gradient.device().is_cpu() || placed_.device() != nullptr || placed_.places().emulates()) return {};
  // The step measures what takes its place.
  if (plain_gradients_.replaces(gradient)) return {};
  auto reference = tensor_ref(gradient, placed_.name_of_parameter(index));
  if (!reference) return reference.status();
  GRADSTAB_RETURN_IF_ERROR(placed_.host().measure_one(index, *reference));
  measured_[index].emplace(gradient);
  return {};
}

Status TensorOptimizer::measure_again_if_written(std::size_t index, const at::Tensor& gradient,
                                                 const TensorRef& reference) {
  if (index >= measured_.size() || !measured_[index] || measured_[index]->is(gradient)) return {};
  GRADSTAB_RETURN_IF_ERROR(placed_.host().measure_one(index, reference));
  measured_[index].emplace(gradient);
  return {};
}

Result<StepReport> TensorOptimizer::report() {
  GRADSTAB_RETURN_IF_ERROR(keep_reports_of_ones());
  return placed_.report();
}

}  // namespace gradstab
