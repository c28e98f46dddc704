// A grid of runs: some settings take several values, every combination is a run.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// One setting and its values, as the user wrote them.
struct SweepAxis {
  std::string key;  ///< of a setting: "min_lr_ratio"
  std::vector<std::string> values;
};

/// "lr=1e-3,3e-3", "seed=0..4" (whole numbers, both ends included), "inject-spikes=100:10;100:10,200:10"
/// (values that contain commas are separated by semicolons). Of a value in several spellings, "0.01,0.010",
/// the first one stays. The keys are those of a run with the settings `base`. Errors: no value, a value twice
/// in the same spelling, a key that is no setting, with the nearest one that is.
Result<SweepAxis> parse_axis(const TrainOptions& base, const std::string& text);

struct SweepPoint {
  std::string name;  ///< "lr=0.001,seed=0": also the name of its folder
  std::vector<std::pair<std::string, std::string>> settings;  ///< key and value of each axis
  TrainOptions options;
};

/// `base` with some settings, given as on the command line, put over it, the last of a key counting. Errors:
/// no such setting, a value that it cannot take, settings that do not go together.
Result<TrainOptions> with_settings(const TrainOptions& base,
                                   const std::vector<std::pair<std::string, std::string>>& settings);

/// All combinations, the last axis running fastest. Errors: no axis, a key in two axes, a value that its
/// setting cannot take, settings that do not go together; each names the run.
Result<std::vector<SweepPoint>> make_grid(const TrainOptions& base, const std::vector<SweepAxis>& axes);

}  // namespace gradstab::lab
