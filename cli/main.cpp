// gradstab, the program. No torch here: all but training starts at once.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "cli/program.hpp"
#include "cli/terminal.hpp"
#include "cli/train_arguments.hpp"
#include "cli/training_program.hpp"

namespace {

using namespace gradstab::cli;

/// Hands a run whose settings are right to the program beside this one, which has LibTorch.
int start_training(TrainArguments arguments, char** argv) {
  if (const auto status = complete(arguments); !status.ok()) return exit_code_for(status);
  const std::string program = training_program();
  execv(program.c_str(), argv);
  print_error(fmt::format("cannot start '{}': {}", program, std::generic_category().message(errno)));
  return kExitFailure;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](CLI::App& app, Action& action) {
    add_train(app, action,
              [argv](const TrainArguments& arguments) { return start_training(arguments, argv); });
    add_report(app, action);
    add_bounds(app, action);
    add_data(app, action);
    add_methods(app, action);
    add_replay(app, action);
    add_sweep(app, action);
    add_reproduce(app, action);
    add_inspect(app, action);
    add_watch(app, action);
    add_rollout(app, action);
  });
}
