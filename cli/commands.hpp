// The verbs of the program. Each adds its options to the parser; what runs when it was chosen returns an exit
// code.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {
struct TrainOptions;
}

namespace gradstab::cli {

/// The chosen verb's work, set by the parser.
using Action = std::function<int()>;

struct TrainArguments;

/// What a run with these settings is started by.
using Train = std::function<int(const TrainArguments&)>;

void add_train(CLI::App& app, Action& action, const Train& run);
void add_report(CLI::App& app, Action& action);
void add_bounds(CLI::App& app, Action& action);
void add_data(CLI::App& app, Action& action);
void add_methods(CLI::App& app, Action& action);
void add_replay(CLI::App& app, Action& action);
void add_sweep(CLI::App& app, Action& action);
void add_reproduce(CLI::App& app, Action& action);
void add_inspect(CLI::App& app, Action& action);
void add_watch(CLI::App& app, Action& action);
void add_rollout(CLI::App& app, Action& action);

/// An option whose value names a file or a folder: an empty one is refused.
CLI::Option* add_path(CLI::App& verb, const std::string& flag, std::string& path, const std::string& help);

/// What is in the way of a file that is about to be made there; ok where `force` says that it goes. A device
/// or a pipe is in nobody's way.
Status check_not_there(const std::filesystem::path& file, const std::string& flag, bool force);

/// An option for every setting of a run of the options' task, and for its recipes.
void add_settings(CLI::App& verb, lab::TrainOptions& options);

/// --ignore-limits, of every verb that trains.
CLI::Option* add_ignore_limits(CLI::App& verb, bool& ignore_limits);

}  // namespace gradstab::cli
