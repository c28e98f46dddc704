// What `gradstab train` is asked to do. No torch here.
#pragma once

#include <cstdint>
#include <string>

#include "gradstab/status.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::cli {

struct TrainArguments {
  lab::TrainOptions options;
  std::string output;
  std::string name;
  std::string resume;  ///< folder of the run to continue; empty: a new one
  bool force = false;
  std::int64_t process_timeout = 1800;  ///< seconds that processes of one run wait for each other
  bool ignore_limits = false;           ///< start even if the run needs more memory or threads than there are
};

/// Reads the settings of a run to continue, fills in names that were left out, and checks everything that can
/// be checked without LibTorch.
Status complete(TrainArguments& arguments);

/// Trains and returns the exit code. `command_line` is how this process was started, for reports: "gradstab
/// train llm --lr 0.01".
int run_training(TrainArguments arguments, const std::string& command_line);

/// Says on standard error why no run can use that device, if none can. The exit code.
int run_device_check(const std::string& device);

}  // namespace gradstab::cli
