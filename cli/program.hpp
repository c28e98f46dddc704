// What both programs share: a parser, its errors, exit codes.
#pragma once

#include <functional>

#include "cli/commands.hpp"

namespace gradstab::cli {

/// Adds the verbs, parses, runs what was chosen, and returns the exit code; errors are one line.
int run_program(int argc, char** argv, const std::function<void(CLI::App&, Action&)>& add_verbs);

}  // namespace gradstab::cli
