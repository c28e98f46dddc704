// The verbs of the program. Each adds its options to the parser; what runs when it was chosen returns an exit
// code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace gradstab::lab {
struct TrainOptions;
}

namespace gradstab::cli {

/// The chosen verb's work, set by the parser.
using Action = std::function<int()>;

struct TrainArguments;

/// What a run with these settings is started by.
using Train = std::function<int(const TrainArguments&)>;

void add_train(CLI::App& app, Action& action, Train run);
void add_report(CLI::App& app, Action& action);
void add_bounds(CLI::App& app, Action& action);
void add_data(CLI::App& app, Action& action);
void add_methods(CLI::App& app, Action& action);
void add_replay(CLI::App& app, Action& action);
void add_sweep(CLI::App& app, Action& action);
void add_reproduce(CLI::App& app, Action& action);

/// An option for every setting of a run.
void add_settings(CLI::App& verb, lab::TrainOptions& options);

}  // namespace gradstab::cli
