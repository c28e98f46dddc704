// One of every kind of optimizer, with settings of which none is neutral.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "gradstab/optimizer.hpp"

namespace gradstab::testing {

struct Kind {
  std::string name;
  OptimizerOptions options;

  friend std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }
};

/// SGD plain, with momentum, with Nesterov; Adam, AdamW, both with AMSGrad; Lion with both kinds of decay;
/// Adam-mini; SPAM with resets and clipping in a few steps.
const std::vector<Kind>& all_kinds();
/// The same with resets that come within the first few steps, and those of Adam as released too.
std::vector<Kind> kinds_with_early_resets();

/// The one of that name.
const OptimizerOptions& kind(const std::string& name);

/// Whether steps per parameter are possible.
bool steps_one_by_one(const OptimizerOptions& options);

double learning_rate(const OptimizerOptions& options);
OptimizerOptions with_learning_rate(OptimizerOptions options, double lr);

}  // namespace gradstab::testing
