// Optimizer: measure, decide, update.
#include "gradstab/optimizer.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/optimizer_impl.hpp"
#include "core/random_key.hpp"
#include "core/text.hpp"

namespace gradstab {
namespace {

Status check_groups(const std::vector<OptimizerGroup>& groups, const OptimizerOptions& kind,
                    std::vector<std::size_t>& group_of) {
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::ranges::fill(group_of, kNone);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].options.index() != kind.index()) {
      return {StatusCode::invalid_argument,
              detail::concat("group ", g, " has settings of '", name_of(groups[g].options), "', expected '",
                             name_of(kind), "'")};
    }
    GRADSTAB_RETURN_IF_ERROR(validate(groups[g].options));
    for (const std::size_t index : groups[g].parameters) {
      if (index >= group_of.size()) {
        return {StatusCode::invalid_argument,
                detail::concat("group ", g, " names parameter ", index, " of ", group_of.size())};
      }
      if (group_of[index] != kNone) {
        return {StatusCode::invalid_argument,
                detail::concat("parameter ", index, " is in groups ", group_of[index], " and ", g)};
      }
      group_of[index] = g;
    }
  }
  const auto missing = std::ranges::find(group_of, kNone);
  if (missing == group_of.end()) return {};
  return {StatusCode::invalid_argument,
          detail::concat("parameter ", missing - group_of.begin(), " is in no group")};
}

}  // namespace

bool Optimizer::Impl::needs_norms() const noexcept {
  return !inner().links.empty() || run.run.nonfinite != NonFinitePolicy::pass_through ||
         std::ranges::any_of(rules, &ParameterRule::unit_moments);
}

Status Optimizer::Impl::init(ParameterSet parameters, OptimizerRunOptions options,
                             const std::vector<OptimizerGroup>& given_groups) {
  unbind();
  GRADSTAB_RETURN_IF_ERROR(validate(default_options));
  std::vector<std::size_t> new_group_of(parameters.size(), 0);
  std::vector<OptimizerOptions> new_groups = {default_options};
  if (!given_groups.empty()) {
    GRADSTAB_RETURN_IF_ERROR(check_groups(given_groups, default_options, new_group_of));
    new_groups.clear();
    for (const OptimizerGroup& group : given_groups) new_groups.push_back(group.options);
  }
  std::vector<ParameterRule> new_rules;
  std::vector<std::size_t> pieces;
  const bool rows = std::ranges::any_of(inner().links, [](const auto& link) { return link->needs_rows(); });
  bool divided = false;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto rule = parameter_rule(new_groups[new_group_of[i]], parameters[i]);
    if (!rule) return rule.status();
    // Per-row links and whole-tensor updates agree on rows: the update does not care how finely it is
    // measured.
    if (rows && !rule->unit_moments) rule->pieces = row_count(parameters[i].sizes);
    divided = divided || rule->unit_moments;
    pieces.push_back(rule->pieces);
    new_rules.push_back(*rule);
  }
  run = std::move(options);
  GRADSTAB_RETURN_IF_ERROR(
      inner().init(std::move(parameters), run.run, divided ? std::move(pieces) : std::vector<std::size_t>()));
  groups = std::move(new_groups);
  group_of = std::move(new_group_of);
  rules = std::move(new_rules);
  const std::size_t count = inner().parameters.size();
  memory.resize(count);
  targets.assign(count, {});
  parameter_memory.bind(count);
  scalars.assign(count, {});
  gradients.assign(count, nullptr);
  unit_root.assign(divided ? inner().engine.segments().count() : 0, 1.0);
  inner().engine.set_measuring(needs_norms());
  initialised = true;
  return {};
}

void Optimizer::Impl::unbind() noexcept {
  initialised = false;
  groups.clear();
  group_of.clear();
  rules.clear();
  memory.clear();
  steps = 0;
}

std::vector<OptimizerGroup> Optimizer::Impl::current_groups() const {
  std::vector<OptimizerGroup> result;
  result.reserve(groups.size());
  for (const OptimizerOptions& options : groups) result.push_back({options, {}});
  for (std::size_t i = 0; i < group_of.size(); ++i) result[group_of[i]].parameters.push_back(i);
  return result;
}

Status Optimizer::Impl::take_over(const ParameterSet& before, std::span<const ParameterRule> rules_before,
                                  std::span<ParameterMemory> memory_before) {
  std::vector<std::ptrdiff_t> found;
  for (const Parameter& parameter : inner().parameters) found.push_back(before.find(parameter.name));
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] < 0) continue;
    const auto index = static_cast<std::size_t>(found[i]);
    if (!memory_before[index].storage || same_state(rules_before[index], rules[i])) continue;
    return {StatusCode::invalid_argument,
            detail::concat("'", before[index].name, "' changes its kind of state with the new groups")};
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (found[i] >= 0) memory[i] = std::move(memory_before[static_cast<std::size_t>(found[i])]);
  }
  return {};
}

Status Optimizer::Impl::rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& given_groups) {
  if (!ready()) return not_initialised("rebind");
  // An error puts everything back.
  const std::vector<std::byte> of_transform = inner().save();
  const auto last_step = inner().last_step;
  const ParameterSet before = inner().parameters;
  const std::vector<ParameterRule> rules_before = rules;
  const std::vector<OptimizerGroup> groups_before = current_groups();
  const std::int64_t steps_before = steps;
  std::vector<OptimizerGroup> new_groups = given_groups;
  if (new_groups.empty()) {
    new_groups.push_back({groups.front(), std::vector<std::size_t>(parameters.size())});
    std::iota(new_groups.front().parameters.begin(), new_groups.front().parameters.end(), std::size_t{0});
  }
  std::vector<ParameterMemory> memory_before = std::exchange(memory, {});
  initialised = false;  // stays so if there is no memory to go back
  const auto undo = [&] {
    init(before, run, groups_before).check();
    initialised = false;
    inner().load(of_transform, true).check();
    inner().last_step = last_step;
    memory = std::move(memory_before);
    steps = steps_before;
    initialised = true;
  };
  try {
    Status status = init(std::move(parameters), run, new_groups);
    initialised = false;
    if (status.ok()) status = inner().load(of_transform, false);
    if (status.ok()) status = take_over(before, rules_before, memory_before);
    if (!status.ok()) {
      undo();
      return status;
    }
  } catch (...) {  // out of memory
    undo();
    throw;
  }
  inner().last_step = last_step;
  steps = steps_before;
  initialised = true;
  return {};
}

std::span<OptimizerOptions> Optimizer::Impl::settings() noexcept {
  return ready() ? std::span(groups) : std::span(&default_options, 1);
}

Status Optimizer::Impl::check_group(std::size_t group) const {
  const std::size_t count = ready() ? groups.size() : 1;
  if (group < count) return {};
  return {StatusCode::invalid_argument, detail::concat("there is no group ", group, "; there are ", count)};
}

Status Optimizer::Impl::take_target(std::size_t index, const TensorRef& parameter,
                                    const TensorRef& gradient) {
  const Parameter& registered = inner().parameters[index];
  const std::size_t pieces = inner().engine.segments().of_tensor(index).size();
  const auto target = update_target(registered, parameter, gradient, pieces);
  if (!target) return target.status();
  const ParameterStorage storage = storage_of(parameter.dtype, run.low_precision);
  const ParameterMemory& state = memory[index];
  if (state.storage && state.storage != storage) {
    return {StatusCode::unsupported,
            detail::concat("parameter '", registered.name, "' is ", describe(storage),
                           ", but its state is of ", describe(*state.storage))};
  }
  targets[index] = *target;
  targets[index].storage = storage;
  gradients[index] = static_cast<const std::byte*>(gradient.data);
  const auto bytes = static_cast<std::size_t>(element_count(parameter.sizes)) * target->parameter_bytes;
  parameter_memory.set(index, parameter.data, bytes, bytes == 0);
  return {};
}

/// A parameter given under two names would be updated twice, by two threads at once.
Status Optimizer::Impl::refuse_shared_memory() {
  const auto shared = parameter_memory.find();
  if (!shared) return {};
  return {StatusCode::unsupported,
          detail::concat("parameters '", inner().parameters[shared->first].name, "' and '",
                         inner().parameters[shared->second].name,
                         "' share memory and would be updated twice; register them once")};
}

void Optimizer::Impl::begin_step(std::size_t index, std::int64_t global) {
  ParameterMemory& state = memory[index];
  UpdateTarget& target = targets[index];
  target.first_step = !state.storage;
  if (target.first_step) {
    const std::int64_t count = element_count(inner().parameters[index].sizes);
    allocate(state, rules[index], target.storage, static_cast<std::size_t>(count), target.parameter);
  }
  state.step += 1;
  target.begun = true;
  scalars[index] = update_scalars(options_of(index), rules[index], {state.step, global});
}

void Optimizer::Impl::cancel_step(std::size_t index) noexcept {
  if (!std::exchange(targets[index].begun, false)) return;
  memory[index].step -= 1;
  if (targets[index].first_step) memory[index] = {};
}

/// Cancels the steps of a range of parameters, also where an exception ends them (out of memory), unless they
/// are kept.
class Optimizer::Impl::BegunSteps {
 public:
  BegunSteps(Impl& impl, IndexRange range) noexcept : impl_(impl), range_(range) {}
  ~BegunSteps() {
    for (std::size_t i = range_.begin; i < range_.end; ++i) {
      if (kept_) {
        impl_.targets[i].begun = false;
      } else {
        impl_.cancel_step(i);
      }
    }
  }
  BegunSteps(const BegunSteps&) = delete;
  BegunSteps& operator=(const BegunSteps&) = delete;

  void keep() noexcept { kept_ = true; }

 private:
  Impl& impl_;
  IndexRange range_;
  bool kept_ = false;
};

Result<StepReport> Optimizer::Impl::step(std::span<const TensorRef> parameters,
                                         std::span<const TensorRef> gradients_now,
                                         std::optional<std::int64_t> step_number) {
  if (!ready()) return not_initialised("step");
  GradientTransform::Impl& chain = inner();
  const std::size_t count = chain.parameters.size();
  if (parameters.size() != count) {
    return Status(StatusCode::shape_mismatch,
                  detail::concat("got ", parameters.size(), " parameters for ", count, " registered ones"));
  }
  GRADSTAB_RETURN_IF_ERROR(chain.take(gradients_now, step_number, parameters));
  const auto present = [&](std::size_t i) { return gradients_now[i].data != nullptr; };
  for (std::size_t i = 0; i < count; ++i) {
    parameter_memory.set(i, nullptr, 0, true);
    if (present(i)) GRADSTAB_RETURN_IF_ERROR(take_target(i, parameters[i], gradients_now[i]));
  }
  GRADSTAB_RETURN_IF_ERROR(refuse_shared_memory());
  BegunSteps begun(*this, {0, count});
  for (std::size_t i = 0; i < count; ++i) {
    if (present(i)) begin_step(i, steps + 1);
  }
  auto report = chain.run(step_number, this);
  if (report && !report->skip_step) {
    steps += 1;
    begun.keep();
  }
  return report;
}

Status Optimizer::Impl::can_step_one() const {
  if (!ready()) return not_initialised("can_step_one");
  for (const auto& link : inner().links) {
    if (!link->needs_all_tensors()) continue;
    return {StatusCode::unsupported,
            detail::concat("'", link->name(),
                           "' needs the norms of all tensors before the first one is updated, so "
                           "it cannot be part of a step per parameter; use a per-tensor method such as "
                           "'stabilize', or step over all parameters at once")};
  }
  if (run.run.nonfinite == NonFinitePolicy::skip_step) {
    return {
        StatusCode::unsupported,
        "policy 'skip_step' needs all gradients before the first parameter is updated; use 'skip_tensor', or "
        "step over all parameters at once"};
  }
  if (std::holds_alternative<SpamOptions>(groups.front())) {
    return {
        StatusCode::unsupported,
        "'spam' resets all moments at the same step of the whole model; step over all parameters at once"};
  }
  return {};
}

Result<TensorReport> Optimizer::Impl::step_one(std::size_t index, const TensorRef& parameter,
                                               const TensorRef& gradient) {
  GRADSTAB_RETURN_IF_ERROR(can_step_one());
  GradientTransform::Impl& chain = inner();
  if (index >= chain.parameters.size()) {
    return Status(StatusCode::invalid_argument, detail::concat("there is no parameter ", index, "; ",
                                                               chain.parameters.size(), " are registered"));
  }
  if (gradient.data == nullptr) return TensorReport{};
  GRADSTAB_RETURN_IF_ERROR(chain.engine.take_one(chain.parameters, index, gradient));
  GRADSTAB_RETURN_IF_ERROR(take_target(index, parameter, gradient));
  if (chain.engine.needs_parameters())
    GRADSTAB_RETURN_IF_ERROR(chain.engine.take_parameter(chain.parameters, index, parameter));
  BegunSteps begun(*this, {index, index + 1});
  begin_step(index, memory[index].step + 1);
  auto report = chain.engine.run_one(chain.parameters, index, *this);
  if (report) begun.keep();
  return report;
}

void Optimizer::Impl::prepare(IndexRange tensors, std::span<const TensorReport> reports) noexcept {
  for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
    const IndexRange own = inner().engine.segments().of_tensor(t);
    if (own.size() == 0 || !reports[own.begin].present) continue;
    ParameterMemory& state = memory[t];
    const std::size_t resets = states_to_reset(options_of(t), {state.step, steps + 1});
    for (ZeroedArray& array : std::span(state.states).first(resets))
      std::fill_n(array.data(), array.bytes(), std::byte{0});
    if (!rules[t].unit_moments) continue;
    const auto& options = std::get<AdamMiniOptions>(options_of(t));
    const std::int64_t elements =
        element_count(inner().parameters[t].sizes) / static_cast<std::int64_t>(own.size());
    for (std::size_t s = own.begin; s < own.end; ++s) {
      unit_root[s] = advance_unit_moment(options, state.step, reports[s].norm(), elements,
                                         state.unit_second[s - own.begin]);
    }
  }
}

void Optimizer::Impl::take(const Block& block, const GradientView& gradient,
                           const TensorReport& report) noexcept {
  const std::size_t t = block.tensor;
  const UpdateTarget& target = targets[t];
  ParameterMemory& state = memory[t];
  const IndexRange own = inner().engine.segments().of_tensor(t);
  const std::int64_t begin =
      static_cast<std::int64_t>(block.segment - own.begin) * gradient.count + block.begin;

  UpdateScalars numbers = scalars[t];
  numbers.gradient_factor = report.factor;
  if (rules[t].unit_moments) numbers.step_size /= unit_root[block.segment];

  UpdateBlock update;
  update.rule = rules[t].rule;
  update.storage = *state.storage;
  update.gradient_dtype = gradient.dtype;
  update.parameter = target.parameter + static_cast<std::size_t>(begin) * target.parameter_bytes;
  if (update.storage == ParameterStorage::bfloat16_master)
    update.master = reinterpret_cast<float*>(state.master.data()) + begin;
  for (std::size_t k = 0; k < state_count(update.rule); ++k)
    update.states[k] = state.states[k].data() + static_cast<std::size_t>(begin) * state.element_bytes();
  update.count = static_cast<std::size_t>(block.count);
  if (update.storage == ParameterStorage::bfloat16_stochastic)
    update.random_key = detail::random_key(run.seed, state.step, t, begin);
  if (target.same_order && !report.zeroed) {
    update.gradient = gradients[t] + static_cast<std::size_t>(begin) * size_of(gradient.dtype);
    inner().backend->update(update, numbers);
  } else {
    update_through_copy(update, numbers, target, report.zeroed ? nullptr : gradients[t], begin);
  }
}

void Optimizer::Impl::update_through_copy(UpdateBlock block, const UpdateScalars& numbers,
                                          const UpdateTarget& target, const std::byte* gradient,
                                          std::int64_t begin) const noexcept {
  constexpr std::size_t kChunk = 1024;
  alignas(64) std::byte copy[kChunk * sizeof(double)] = {};
  const std::size_t gradient_bytes = size_of(block.gradient_dtype);
  const std::size_t state_bytes = block.storage == ParameterStorage::float64 ? sizeof(double) : sizeof(float);
  const std::size_t total = block.count;
  block.gradient = copy;
  for (std::size_t done = 0; done < total; done += block.count) {
    block.count = std::min(kChunk, total - done);
    if (gradient != nullptr) {
      gather(target, gradient, gradient_bytes, begin + static_cast<std::int64_t>(done), block.count, copy);
    }
    inner().backend->update(block, numbers);
    block.parameter = static_cast<std::byte*>(block.parameter) + block.count * target.parameter_bytes;
    if (block.master != nullptr) block.master += block.count;
    for (std::size_t k = 0; k < state_count(block.rule); ++k)
      block.states[k] = static_cast<std::byte*>(block.states[k]) + block.count * state_bytes;
    block.random_key += static_cast<std::uint32_t>(block.count);
  }
}

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

Status Optimizer::rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups) {
  return impl_->rebind(std::move(parameters), groups);
}

Result<StepReport> Optimizer::step(std::span<const TensorRef> parameters,
                                   std::span<const TensorRef> gradients, std::optional<std::int64_t> step) {
  return impl_->step(parameters, gradients, step);
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
    if (!before || rule->unit_moments != before->unit_moments || rule->pieces != before->pieces) {
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
  return impl_->save();
}

Status Optimizer::load(std::span<const std::byte> bytes) {
  if (!impl_->ready()) return not_initialised("load");
  return impl_->load(bytes);
}

}  // namespace gradstab
