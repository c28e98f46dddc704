// gradstab: train, report, bounds, data, replay. No torch here: all but training starts at once.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "cli/program.hpp"
#include "cli/terminal.hpp"
#include "cli/train_arguments.hpp"

namespace {

using namespace gradstab::cli;

/// LibTorch's idle OpenMP threads spin before they sleep, by default for milliseconds. Where anything else
/// wants the same cores, the thread that has work then waits for the one that spins, and training can slow
/// down many times over. libgomp reads its setting while it is loaded.
void limit_openmp_spinning() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
}

/// Hands a run whose settings are right to the program beside this one, which has LibTorch.
int start_training(TrainArguments arguments, char** argv) {
  if (const auto status = complete(arguments); !status.ok()) return exit_code_for(status);
  limit_openmp_spinning();
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  const std::string program = self.parent_path() / "gradstab-train";
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
    add_replay(app, action);
  });
}
