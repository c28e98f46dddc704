// How long and how large the runs of a scale are.
#pragma once

#include <array>
#include <string_view>

#include "lab/reproduce/item.hpp"

namespace gradstab::lab {

/// The horizons of a scale, the longest last: "short" and "long", but for the published setting, which has
/// one.
std::vector<std::string> horizons(Scale scale);

/// Whether the model is a hundred times smaller than the paper's, which wants higher learning rates.
bool is_small(Scale scale);

/// A plan of language models, without parts yet.
Plan llm_plan(Scale scale);

/// Model, data and length of a LLaMA's runs: the recipe of the scale, and the length of the horizon, which is
/// one of horizons(scale).
Settings llm_preset(Scale scale, const std::string& horizon);

/// A part with the settings of its horizon and, over them, `more`.
Part llm_part(Scale scale, const std::string& horizon, const Settings& more, std::vector<Arm> arms,
              std::vector<Context> contexts);

/// A plan of forecasts, without parts yet: five seeds, whose spread decides here, but for the smallest scale.
Plan forecast_plan(Scale scale);

/// Model, data and length of forecasts: the recipe of the scale.
Settings forecast_preset(Scale scale);

/// Classifiers that the paper compares: "vit", "convnext", "resnet".
inline constexpr std::array<std::string_view, 3> kClassifiers = {"vit", "convnext", "resnet"};

/// A plan of image classifiers, without parts yet; seeds as for forecasts.
Plan vision_plan(Scale scale);

/// Model, data and length of the runs of one of kClassifiers.
Settings vision_preset(Scale scale, std::string_view classifier);

/// A plan of reinforcement learning, without parts yet; seeds as for forecasts.
Plan rl_plan(Scale scale);

/// Method and length of PPO: the recipe of the scale, with the paper's learning rate, in an environment.
Settings rl_preset(Scale scale, std::string_view environment);

/// Seeds of a scale, unless the user says otherwise.
int default_seeds(Scale scale);

}  // namespace gradstab::lab
