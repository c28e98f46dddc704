// What may decide whether a method helps: configurations sorted by one property at a time, and what they
// gain.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lab/report/grouping.hpp"
#include "lab/reproduce/comparison.hpp"
#include "lab/reproduce/student.hpp"

namespace gradstab::lab {

using Configurations = std::vector<const Comparison*>;

/// A range of values of a property, or one value.
struct Level {
  std::string label;  ///< "more than 10"
  Configurations members;
};

/// A property of configurations.
struct Factor {
  std::string name;   ///< inside a sentence: "norm spikes per 1,000 updates"
  std::string axis;   ///< the same where there is little room
  std::string about;  ///< which configurations are in it, a sentence or two
  std::vector<Level> levels;
  bool is_number = false;  ///< so that a chart has it on its axis
  bool logarithmic = false;
  Configurations members = {};      ///< of all levels
  std::vector<double> values = {};  ///< of a number: one per member; may be infinite
};

/// The tasks of some comparisons, in their order: "llm", "forecast".
std::vector<std::string> tasks_in_order(const std::vector<Comparison>& comparisons);
/// Those of a task.
Configurations of_task(const std::vector<Comparison>& comparisons, std::string_view task);

/// Whether nobody disturbed it, and the optimizer is another than plain SGD, where the norm of the gradient
/// is the length of the step.
bool is_ordinary(const Comparison& comparison);
/// The ordinary ones.
Configurations ordinary(const Configurations& all);

/// Norm spikes, the largest norm, learning rate, horizon, precision, optimizer and what was injected, each
/// with the levels that some of the configurations, which are of one task, are in. Factors with fewer than
/// two levels are left out.
std::vector<Factor> factors_of(const Configurations& of_one_task);

/// The gain of an arm over no method: mean over seeds first, then over configurations.
struct Pooled {
  Spread gain;               ///< over the configurations that have the arm
  Interval interval;         ///< of its mean, 95 %, as if configurations were independent;
                             ///< unbounded for fewer than three
  std::size_t pairs = 0;     ///< of runs
  std::size_t compared = 0;  ///< configurations that have kMethod with some of the same seeds
  std::size_t as_good = 0;   ///< of these, where the arm ends at least as well as kMethod
};

enum class GainUnit {
  own,              ///< that of the score
  percent_learned,  ///< 100 is what the runs without a method have learned: from an uninformed guess to where
                    ///< they end
};

Pooled pooled(const Configurations& members, std::string_view arm, GainUnit unit);

/// In that unit; NaN where the runs without a method have learned nothing.
double gain_in(const Comparison& comparison, const ArmGain& gain, GainUnit unit);

}  // namespace gradstab::lab
