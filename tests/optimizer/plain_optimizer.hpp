// The optimizers once more, in double and as the papers and PyTorch write them: what the library is compared
// with.
#pragma once

#include <cstdint>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// One parameter.
struct PlainParameter {
  Values value;
  std::size_t unit = 1;  ///< elements that share a second moment in Adam-mini; 1: Adam
  bool decays = true;    ///< in Adam-mini

  std::int64_t step = 0;
  Values first = {};        ///< momentum buffer or first moment
  Values second = {};       ///< second moment of each element
  Values largest = {};      ///< AMSGrad
  Values unit_second = {};  ///< Adam-mini
};

/// One step with this gradient. `global` is the step of the whole model, from 1.
void plain_step(PlainParameter& parameter, const OptimizerOptions& options, const Values& gradient,
                std::int64_t global);

/// SPAM's schedule as a machine that is advanced once per step, the way the authors' code keeps it.
class SpamSchedule {
 public:
  explicit SpamSchedule(const SpamOptions& options)
      : options_(options), since_reset_(options.warmup_steps + 1) {}

  struct Step {
    double scale;  ///< of the learning rate
    bool resets;   ///< moments, before the gradient is used
    bool clips;
  };
  Step next();

 private:
  SpamOptions options_;
  std::int64_t step_ = 0;
  std::int64_t since_reset_;
};

}  // namespace gradstab::testing
