// From settings to a chain of transforms.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/transform.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// The methods of `--transform`, as a list for help texts.
std::string known_transforms();

/// Whether `transform` is "none" or what the library reads as a chain of methods. Errors: its own.
Status check_transform(const std::string& transform);

/// A flag that stands for one setting of one method: `--gamma1 0.7` for "stabilize(gamma1=0.7)".
struct Shorthand {
  std::string_view name;
  std::string_view formerly;  ///< the flag of older versions; may be empty
  std::string_view method;
  std::string_view setting;
};
std::span<const Shorthand> shorthands();

/// The shorthand of that name, or that was called that formerly; null if there is none.
const Shorthand* find_shorthand(std::string_view name);

/// A shorthand and its value in the words of today; as it is where it is none.
std::pair<std::string, std::string> in_words_of_today(const std::string& name, const std::string& value);

/// Whether a shorthand of today gives its setting the value that it has by default.
bool is_default(const std::string& name, const std::string& value);

/// `transform` with the settings that the shorthands stand for, which go before what it says itself; a
/// shorthand of a method that is not in the chain does nothing. Without settings that are the defaults.
/// Errors: those of check_transform, a value that a setting cannot take.
Result<std::string> with_shorthands(const std::string& transform,
                                    const std::vector<std::pair<std::string, std::string>>& given);

/// As an older version meant `transform`: its "adagc" without settings had those of the paper's first
/// version.
std::string as_older_versions_meant(const std::string& transform);

/// A text that as_older_versions_meant leaves as it is.
std::string for_keeping(const std::string& transform);

/// The chain that the settings name. It begins with record_norms, so that gradient spikes are counted with
/// the same yardstick whatever follows. The settings are valid.
GradientTransform make_transform(const TrainOptions& options);

NonFinitePolicy nonfinite_policy(const TrainOptions& options);

}  // namespace gradstab::lab
