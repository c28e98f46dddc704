#include "lab/rl/view/recorded_rollouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "gradstab/export.hpp"
#include "lab/rl/environments/mujoco_environment.hpp"
#include "lab/support/numbers.hpp"

namespace gradstab::lab::rl {
namespace {

/// "sum_reward_200": the sum over so many steps.
constexpr std::string_view kSumPrefix = "sum_reward_";
// Where a file does not say which steps it wants: all of the first fifty, then every tenth.
constexpr std::int64_t kAllBefore = 50, kThenEvery = 10;

Json list(std::span<const double> numbers) {
  return Json(std::vector<double>(numbers.begin(), numbers.end()));
}

Json observation_of(const Environment& environment) {
  std::vector<double> observation(static_cast<std::size_t>(environment.info().observation_size));
  environment.observe(observation);
  return Json(observation);
}

/// What was asked of one roll-out.
struct RolloutInput {
  std::vector<double> position, velocity;
  std::vector<std::vector<double>> actions;
  std::vector<std::int64_t> steps;                         ///< numbers of those to record, ascending
  std::vector<std::pair<std::string, std::int64_t>> sums;  ///< key, number of steps
};

/// The steps to record.
std::vector<std::int64_t> steps_of(const JsonReader& rollout, std::int64_t count) {
  std::vector<std::int64_t> steps;
  const JsonReader given = rollout["steps"];
  if (!given.exists()) {
    for (std::int64_t t = 0; t < count; ++t) {
      if (t < kAllBefore || t % kThenEvery == kThenEvery - 1) steps.push_back(t);
    }
    return steps;
  }
  for (std::size_t i = 0; i < given.size() && rollout.status().ok(); ++i) {
    const std::int64_t first = steps.empty() ? 0 : steps.back() + 1;
    steps.push_back(given.item(i)["t"].whole(first, count - 1));
  }
  return steps;
}

RolloutInput input_of(const JsonReader& rollout) {
  RolloutInput input;
  input.position = rollout["set_qpos"].numbers();
  input.velocity = rollout["set_qvel"].numbers();
  const JsonReader actions = rollout["actions"];
  for (std::size_t i = 0; i < actions.size(); ++i) input.actions.push_back(actions.item(i).numbers());
  const auto count = static_cast<std::int64_t>(input.actions.size());
  input.steps = steps_of(rollout, count);
  for (const std::string& key : rollout.keys()) {
    if (!key.starts_with(kSumPrefix)) continue;
    const auto sum = parse_number<std::int64_t>(std::string_view(key).substr(kSumPrefix.size()));
    if (sum && *sum >= 0 && *sum <= count) input.sums.emplace_back(key, *sum);
  }
  if (input.sums.empty()) input.sums.emplace_back(fmt::format("{}{}", kSumPrefix, count), count);
  return input;
}

Json step_of(MujocoEnvironment& environment, std::int64_t t, const StepOutcome& outcome) {
  Simulation& simulation = environment.simulation();
  return {{"t", t},
          {"obs", observation_of(environment)},
          {"reward", outcome.reward},
          {"reward_forward", outcome.reward_forward},
          {"reward_ctrl", outcome.reward_control},
          {"reward_survive", outcome.reward_healthy},
          {"terminated", outcome.terminated},
          {"qpos", list(simulation.position())},
          {"qvel", list(simulation.velocity())},
          {"torso_xpos", environment.save().torso},
          {"ncon", simulation.contacts()}};
}

/// One roll-out as text, a step on each line.
Result<std::string> replay_one(MujocoEnvironment& environment, const Json& given, const RolloutInput& input) {
  GRADSTAB_RETURN_IF_ERROR(environment.start_at(input.position, input.velocity));
  Simulation& simulation = environment.simulation();
  Json head = Json::object();
  for (const char* key : {"name", "action_formula"}) {
    if (given.contains(key)) head[key] = given[key];
  }
  head["env_steps"] = input.actions.size();
  head["set_qpos"] = list(input.position);
  head["set_qvel"] = list(input.velocity);
  head["after_reset"] = {
      {"obs", observation_of(environment)},     {"qpos", list(simulation.position())},
      {"qvel", list(simulation.velocity())},    {"qacc_zero_ctrl", list(simulation.acceleration())},
      {"torso_xpos", environment.save().torso}, {"ncon", simulation.contacts()}};
  head["actions"] = input.actions;

  std::string steps;
  std::vector<double> sums(input.sums.size());
  std::int64_t first_terminated = -1;
  auto wanted = input.steps.begin();
  for (std::size_t i = 0; i < input.actions.size(); ++i) {
    const auto t = static_cast<std::int64_t>(i);
    const auto outcome = environment.advance(input.actions[i]);
    if (!outcome)
      return Status(outcome.status().code(), fmt::format("actions[{}]: {}", t, outcome.status().message()));
    if (outcome->terminated && first_terminated < 0) first_terminated = t;
    for (std::size_t k = 0; k < sums.size(); ++k) {
      if (t < input.sums[k].second) sums[k] += outcome->reward;
    }
    if (wanted == input.steps.end() || *wanted != t) continue;
    steps += (steps.empty() ? "\n" : ",\n") + step_of(environment, t, *outcome).dump();
    ++wanted;
  }
  head["first_terminated_step"] = first_terminated;
  for (std::size_t k = 0; k < sums.size(); ++k) head[input.sums[k].first] = sums[k];
  std::string text = head.dump();
  text.pop_back();  // its closing brace
  return text + ",\"steps\":[" + steps + "\n]}";
}

/// The model's constants in the order of a recording.
Json model_of(const MujocoEnvironment& environment) {
  Json model = Json::object();
  const Json constants = environment.model().constants();
  for (const auto& [key, value] : constants.items()) {
    model[key] = value;
    if (key != "ngeom") continue;
    model["frame_skip"] = environment.spec().frame_skip;
    model["dt"] = environment.info().step_seconds;
  }
  return model;
}

Result<const EnvironmentSpec*> wanted_environment(const std::string& recorded, const std::string& asked) {
  const auto of_file = find_environment(recorded);
  if (!of_file || asked.empty()) return of_file;
  const auto spec = find_environment(asked);
  if (spec && *spec != *of_file) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("the roll-outs are of {}, --env says {}", (*of_file)->name, (*spec)->name));
  }
  return spec;
}

}  // namespace

Result<std::string> replay_rollouts(const Json& recording, const ReplayRequest& request) {
  const JsonReader reader(recording, "");
  const std::string name = reader["env"].text();
  const JsonReader rollouts = reader["rollouts"];
  const std::size_t count = rollouts.size();
  if (!reader.status().ok()) return reader.status();
  const auto spec = wanted_environment(name, request.environment);
  if (!spec) return spec.status();
  auto model = compile_model(**spec, request.model);
  if (!model && !request.model_name.empty())
    return Status(model.status().code(),
                  fmt::format("model file '{}': {}", request.model_name, model.status().message()));
  if (!model) return model.status();
  MujocoEnvironment environment(**spec, *model);
  const auto module = mujoco_module();
  if (!module) return module.status();

  Json head = {{"env", (*spec)->name}};
  if (recording.contains("set")) head["set"] = recording["set"];
  head["mujoco_version"] = (*module)->version();
  head["computed_with"] = fmt::format("gradstab {}", GRADSTAB_VERSION);
  head["model"] = model_of(environment);
  std::string text = head.dump();
  text.pop_back();
  text += ",\"rollouts\":[";
  for (std::size_t i = 0; i < count; ++i) {
    const RolloutInput input = input_of(rollouts.item(i));
    if (!reader.status().ok()) return reader.status();
    const auto replayed = replay_one(environment, rollouts.item(i).object(), input);
    if (!replayed)
      return Status(replayed.status().code(),
                    fmt::format("rollouts[{}]: {}", i, replayed.status().message()));
    text += (i == 0 ? "\n" : ",\n") + *replayed;
  }
  return text + "\n]}\n";
}

}  // namespace gradstab::lab::rl
