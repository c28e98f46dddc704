// The verbs of the program. Each adds its options to the parser; what runs when it was chosen returns an exit
// code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace gradstab::cli {

/// The chosen verb's work, set by the parser.
using Action = std::function<int()>;

/// How this process was started, for reports: "gradstab train llm --lr 0.01".
void add_train(CLI::App& app, Action& action, const std::string& command_line);
void add_report(CLI::App& app, Action& action);
void add_bounds(CLI::App& app, Action& action);
void add_data(CLI::App& app, Action& action);

}  // namespace gradstab::cli
