// Optimizer: the public calls.
#include "gradstab/optimizer.hpp"

#include <utility>

#include "core/base/errors_as_values.hpp"
#include "core/base/text.hpp"
#include "core/optimizer/optimizer_impl.hpp"

namespace gradstab {

Optimizer::Optimizer(OptimizerOptions options, std::optional<GradientTransform> transform)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(transform))) {}
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;
Optimizer::~Optimizer() = default;

Status Optimizer::init(ParameterSet parameters, OptimizerRunOptions options,
                       const std::vector<OptimizerGroup>& groups) {
  return impl_->init(std::move(parameters), std::move(options), groups);
}

void Optimizer::unbind() noexcept {
  impl_->unbind();
}

Status Optimizer::rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups,
                         std::span<const std::size_t> fresh) {
  return errors_as_values([&] { return impl_->rebind(std::move(parameters), groups, fresh); });
}

Result<StepReport> Optimizer::step(std::span<const TensorRef> parameters,
                                   std::span<const TensorRef> gradients, std::optional<std::int64_t> step) {
  return impl_->step(parameters, gradients, step);
}

Status Optimizer::measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients) {
  return impl_->measure(parameters, gradients);
}

std::span<double> Optimizer::squared_norms() noexcept {
  return impl_->squared_norms;
}

Result<StepReport> Optimizer::finish() {
  return impl_->finish();
}

Result<TensorReport> Optimizer::step_one(std::size_t index, const TensorRef& parameter,
                                         const TensorRef& gradient) {
  return impl_->step_one(index, parameter, gradient);
}

Status Optimizer::can_step_one() const {
  return impl_->can_step_one();
}

Status Optimizer::measure_one(std::size_t index, const TensorRef& gradient) {
  if (!impl_->ready()) return not_initialised("measure_one");
  GradientTransform::Impl& chain = impl_->inner();
  if (index >= chain.parameters.size()) {
    return {StatusCode::invalid_argument, detail::concat("there is no parameter ", index, "; ",
                                                         chain.parameters.size(), " are registered")};
  }
  impl_->measured = false;
  return chain.engine.measure_one(chain.parameters, index, gradient);
}

const StepReport& Optimizer::report() const noexcept {
  return impl_->inner().report;
}

std::vector<MethodState> Optimizer::transform_state() const {
  return impl_->transform.state();
}

const ParameterSet& Optimizer::parameters() const noexcept {
  return impl_->inner().parameters;
}

std::string Optimizer::name() const {
  const std::string own(name_of(impl_->default_options));
  return impl_->inner().links.empty() ? own : impl_->transform.name() + " + " + own;
}

std::string_view Optimizer::backend_name() const noexcept {
  return impl_->transform.backend_name();
}

std::size_t Optimizer::group_count() const noexcept {
  return impl_->settings().size();
}

Result<OptimizerOptions> Optimizer::options(std::size_t group) const {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_group(group));
  return impl_->settings()[group];
}

Status Optimizer::set_options(std::size_t group, OptimizerOptions options) {
  Impl& impl = *impl_;
  GRADSTAB_RETURN_IF_ERROR(impl.check_group(group));
  OptimizerOptions& settings = impl.settings()[group];
  if (options.index() != settings.index()) {
    return {StatusCode::invalid_argument, detail::concat("group ", group, " is '", name_of(settings),
                                                         "', got settings of '", name_of(options), "'")};
  }
  GRADSTAB_RETURN_IF_ERROR(validate(options));
  std::vector<UpdateRule> new_rules;
  for (std::size_t i = 0; impl.ready() && i < impl.rules.size(); ++i) {
    new_rules.push_back(impl.rules[i].rule);
    if (impl.group_of[i] != group) continue;
    const Parameter& parameter = impl.inner().parameters[i];
    const auto before = parameter_rule(settings, parameter);
    const auto rule = parameter_rule(options, parameter);
    if (!rule) return rule.status();
    if (!before || rule->unit_moments != before->unit_moments || rule->units != before->units) {
      return {StatusCode::failed_precondition,
              detail::concat("how '", parameter.name,
                             "' is divided is settled by init; dim, n_heads and overrides cannot change it "
                             "any more")};
    }
    if (impl.memory[i].storage && state_count(rule->rule) != state_count(impl.rules[i].rule)) {
      return {StatusCode::failed_precondition,
              detail::concat("'", parameter.name,
                             "' has begun to train; momentum and amsgrad cannot be switched any more")};
    }
    new_rules.back() = rule->rule;
  }
  for (std::size_t i = 0; i < new_rules.size(); ++i) impl.rules[i].rule = new_rules[i];
  settings = std::move(options);
  return {};
}

Status Optimizer::set_lr(double lr) {
  GRADSTAB_RETURN_IF_ERROR(check_lr(lr));
  for (OptimizerOptions& options : impl_->settings())
    std::visit([lr](auto& typed) { typed.lr = lr; }, options);
  return {};
}

Status Optimizer::set_lr(std::size_t group, double lr) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_group(group));
  GRADSTAB_RETURN_IF_ERROR(check_lr(lr));
  std::visit([lr](auto& typed) { typed.lr = lr; }, impl_->settings()[group]);
  return {};
}

Result<std::vector<std::byte>> Optimizer::save() const {
  if (!impl_->ready()) return not_initialised("save");
  return errors_as_values([&]() -> Result<std::vector<std::byte>> { return impl_->save(); });
}

Status Optimizer::load(std::span<const std::byte> bytes, std::span<const std::string> names) {
  if (!impl_->ready()) return not_initialised("load");
  return errors_as_values([&] { return impl_->load(bytes, names); });
}

Result<std::vector<ParameterStatistic>> Optimizer::statistics(std::size_t index) const {
  if (!impl_->ready()) return not_initialised("statistics");
  return impl_->transform.statistics(index);
}

Status Optimizer::set_statistics(std::span<const std::vector<ParameterStatistic>> of_parameters) {
  if (!impl_->ready()) return not_initialised("set_statistics");
  return impl_->transform.set_statistics(of_parameters);
}

}  // namespace gradstab
