#include "lab/rl/recorded.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"

namespace gradstab::lab::rl {
namespace {

/// The largest difference of two lists; infinity for other lengths.
double distance(const Json& a, const Json& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::abs(a[i].get<double>() - b[i].get<double>()));
  return worst;
}

std::string rollout_difference(const Json& replayed, const Json& recorded, int& compared) {
  const std::string name = recorded["name"];
  if (replayed["name"] != name || replayed["actions"] != recorded["actions"]) return name + ": another input";
  for (const char* key : {"obs", "qpos", "qvel", "torso_xpos"}) {
    if (distance(replayed["after_reset"][key], recorded["after_reset"][key]) > 1e-12)
      return fmt::format("{}: {} after the reset", name, key);
  }
  // Accelerations at rest are sums of terms of the size of gravity that cancel.
  if (distance(replayed["after_reset"]["qacc_zero_ctrl"], recorded["after_reset"]["qacc_zero_ctrl"]) > 1e-10)
    return name + ": accelerations after the reset";
  if (replayed["steps"].size() != recorded["steps"].size()) return name + ": other steps";
  bool chaotic = false;
  for (std::size_t i = 0; i < recorded["steps"].size(); ++i) {
    const Json& ours = replayed["steps"][i];
    const Json& theirs = recorded["steps"][i];
    const double growth = 100.0 * theirs["model_twin_dev_qpos"].get<double>();
    chaotic = chaotic || growth > 1e-4;
    if (chaotic) break;
    ++compared;
    const double position = std::max(1e-9, growth);
    const double velocity = std::max(1e-8, 100.0 * theirs["model_twin_dev_qvel"].get<double>());
    const auto differs = [&](const char* key, double by, double limit) {
      return fmt::format("{}: {} of step {} differ by {} beyond {}", name, key, theirs["t"].get<int>(), by,
                         limit);
    };
    if (ours["t"] != theirs["t"]) return name + ": other steps";
    for (const auto& [key, limit] :
         {std::pair("qpos", position), std::pair("qvel", velocity),
          std::pair("obs", std::max(position, velocity)), std::pair("torso_xpos", position)}) {
      if (const double by = distance(ours[key], theirs[key]); !(by <= limit)) return differs(key, by, limit);
    }
    // A reward is a difference of positions over at least 0.008 seconds.
    const double reward = 2.0 * position / 0.008;
    for (const char* key : {"reward", "reward_forward", "reward_ctrl", "reward_survive"}) {
      const double by = std::abs(ours[key].get<double>() - theirs[key].get<double>());
      if (!(by <= reward)) return differs(key, by, reward);
    }
    for (const char* key : {"ncon", "terminated"}) {
      if (ours[key] != theirs[key])
        return fmt::format("{}: {} of step {}", name, key, theirs["t"].get<int>());
    }
  }
  if (chaotic) return {};
  if (replayed["first_terminated_step"] != recorded["first_terminated_step"])
    return name + ": another first terminated step";
  const double sum =
      std::abs(replayed["sum_reward_200"].get<double>() - recorded["sum_reward_200"].get<double>());
  return sum <= 1e-6 ? "" : fmt::format("{}: sum of rewards differs by {}", name, sum);
}

std::string value_difference(const Json& a, const Json& b, const std::string& place) {
  if (b.is_object()) {
    for (const auto& [key, value] : b.items()) {
      if (!a.is_object() || !a.contains(key)) return place + "." + key + " is missing";
      if (key == "pos" && b.value("type", "") == "slide") continue;
      const std::string inside = value_difference(a[key], value, place + "." + key);
      if (!inside.empty()) return inside;
    }
    return a.size() == b.size() ? "" : place + " has more";
  }
  if (b.is_array() && !b.empty() && b.front().is_number()) {
    double largest = 0.0;
    for (const Json& number : b) largest = std::max(largest, std::abs(number.get<double>()));
    double by = distance(a, b);
    if (place.ends_with("quat") && a.size() == 4) {
      Json negative = a;
      for (Json& number : negative) number = -number.get<double>();
      by = std::min(by, distance(negative, b));
    }
    return by <= 1e-12 * std::max(1.0, largest) ? "" : fmt::format("{} differs by {}", place, by);
  }
  if (b.is_array()) {
    if (a.size() != b.size()) return place + " has another length";
    for (std::size_t i = 0; i < b.size(); ++i) {
      const std::string inside = value_difference(a[i], b[i], fmt::format("{}[{}]", place, i));
      if (!inside.empty()) return inside;
    }
    return {};
  }
  if (b.is_number()) {
    const double by = std::abs(a.get<double>() - b.get<double>());
    return by <= 1e-12 * std::max(1.0, std::abs(b.get<double>()))
               ? ""
               : fmt::format("{} differs by {}", place, by);
  }
  return a == b ? "" : fmt::format("{} is {}, expected {}", place, a.dump(), b.dump());
}

}  // namespace

std::string recorded_file(const std::string& robot) {
  return GRADSTAB_RECORDED_ROLLOUTS "/" + robot + ".json.gz";
}

Json recorded_rollouts(const std::string& robot) {
  constexpr std::uintmax_t kMost = kMiB;
  const auto packed = read_file(recorded_file(robot), kRolloutFile);
  return parse_json_object(unpacked(packed.value(), kMost).value(), robot).value();
}

std::string difference(const Json& replayed, const Json& recorded, int& compared) {
  compared = 0;
  if (replayed["env"] != recorded["env"]) return "another environment";
  if (replayed["rollouts"].size() != recorded["rollouts"].size()) return "another number of roll-outs";
  for (std::size_t i = 0; i < recorded["rollouts"].size(); ++i) {
    const std::string found = rollout_difference(replayed["rollouts"][i], recorded["rollouts"][i], compared);
    if (!found.empty()) return found;
  }
  return {};
}

std::string model_difference(const Json& replayed, const Json& recorded) {
  return value_difference(replayed["model"], recorded["model"], "model");
}

}  // namespace gradstab::lab::rl
