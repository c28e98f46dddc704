// Optimizer: settings of groups, and who remembers what, before the first step and when parameters change.
#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/text.hpp"
#include "core/optimizer/optimizer_impl.hpp"

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
    // The update does not care how finely it is measured, as long as each of its units is so many segments.
    const std::size_t row_segments = row_count(parameters[i].sizes);
    const bool by_row = rows && row_segments % std::max<std::size_t>(rule->units, 1) == 0;
    rule->pieces = by_row ? row_segments : rule->units;
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
  squared_norms.assign(count, 0.0);
  measured = false;
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
                                  std::span<ParameterMemory> memory_before,
                                  std::span<const std::size_t> fresh) {
  std::vector<std::ptrdiff_t> found;
  for (const Parameter& parameter : inner().parameters) found.push_back(before.find(parameter.name));
  for (const std::size_t index : fresh) {
    if (index < found.size()) found[index] = -1;
  }
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

Status Optimizer::Impl::rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& given_groups,
                               std::span<const std::size_t> fresh) {
  if (!ready()) return not_initialised("rebind");
  // An error puts everything back.
  const std::vector<std::byte> of_transform = inner().save();
  const std::vector<std::string> names = inner().names_without(parameters, fresh);
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
    if (status.ok()) status = inner().load(of_transform, false, names);
    if (status.ok()) status = take_over(before, rules_before, memory_before, fresh);
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

}  // namespace gradstab
