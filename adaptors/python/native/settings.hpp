// Methods and optimizers as Python describes them: names, numbers and words.
#pragma once

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>

#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::python {

using Numbers = c10::Dict<std::string, double>;                // flags are 0 and 1
using Words = c10::Dict<std::string, c10::List<std::string>>;  // a single word is a list of one

/// A chain of methods: entry i of all three lists describes link i. One link alone is no chain.
struct Description {
  c10::List<std::string> methods;
  c10::List<Numbers> numbers;
  c10::List<Words> words;
};

/// The name of a method written in Python is this and its number (own_method.hpp); it has no other settings
/// here.
inline constexpr std::string_view kOwnMethod = "own:";

/// Units as a method's words have them: "granularity", and "group:NAME" with patterns.
Units to_units(const Words& words);

/// The transform that is described. What is left out has the library's default. Throws where a method or a
/// setting is unknown; values are checked by the library.
GradientTransform make_transform(const Description& description);

/// A chain of a text such as "zclip(z_threshold=3)+stabilize": of each link its name, and its settings by
/// name and text.
using LinkTexts = std::tuple<std::string, std::vector<std::string>, std::vector<std::string>>;
std::vector<LinkTexts> parse_transform_text(const std::string& text);

/// Every setting of every method, and of every optimizer if these are asked for: method, setting, kind,
/// default and range, the last as errors say it and empty for what is no number.
using SettingTexts = std::tuple<std::string, std::string, std::string, std::string, std::string>;
std::vector<SettingTexts> describe_settings(bool of_optimizers);

/// One of gradstab::optimizers() with its settings. Throws as above.
OptimizerOptions make_optimizer_options(const std::string& kind, const Numbers& numbers, const Words& words);

/// How a transform runs: the policy by its name, and the backend, empty for the default.
RunOptions make_run_options(const std::string& nonfinite, const std::string& backend);

/// "master_copy" or "stochastic_rounding".
LowPrecision low_precision_of(const std::string& name);

}  // namespace gradstab::python
