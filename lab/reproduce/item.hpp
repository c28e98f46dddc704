// What a reproduction is made of: who is compared with whom, where, and for how long.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// Settings of runs, as on the command line.
using Settings = SettingTexts;

/// How much is computed. smoke: that it works; cpu: two cores, 90 minutes at most; gpu: one H100, an hour at
/// most; paper: the published setting.
enum class Scale { smoke, cpu, gpu, paper };

inline constexpr std::array<std::string_view, 4> kScaleNames = {"smoke", "cpu", "gpu", "paper"};

std::string_view to_string(Scale scale);
std::optional<Scale> scale_named(std::string_view name);

/// One of those that are compared: a method in front of the optimizer, or a control.
struct Arm {
  std::string name;   ///< "clip"; part of the names of runs
  std::string label;  ///< "norm clip"
  Settings settings;
  bool control = false;  ///< there to be beaten by a method, and none itself
};

/// Where they are compared: the same for all arms of a comparison, such as a learning rate.
struct Context {
  Settings coordinates;  ///< what it is called: {{"lr", "0.003"}}; part of the names of runs
  Settings settings;     ///< what it means; often the same
};

/// Runs of one horizon. Every arm is trained in every context with every seed.
struct Part {
  std::string name;     ///< unique; part of the names of runs
  std::string horizon;  ///< "short"; what is judged together
  Settings base;
  std::vector<Arm> arms;
  std::vector<Context> contexts;
};

/// All runs of an item at one scale.
struct Plan {
  std::string task;  ///< what all of them train: "llm"
  std::vector<Part> parts;
  int seeds = 3;
  std::vector<int> looks = {};  ///< see Records::looks
};

/// Contexts that differ in one setting.
std::vector<Context> over(const std::string& key, const std::vector<std::string>& values);

/// Every context of `outer` in every context of `inner`.
std::vector<Context> cross(const std::vector<Context>& outer, const std::vector<Context>& inner);

}  // namespace gradstab::lab
