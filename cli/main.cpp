// gradstab: train, report, bounds, data.
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "gradstab/version.hpp"

namespace {

/// The words as a shell would take them back.
std::string command_line_of(int argc, char** argv) {
  std::string line = "gradstab";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789-_=+./,:@%") == std::string::npos;
    if (plain) {
      line += " " + word;
      continue;
    }
    line += " '";
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += "'";
  }
  return line;
}

/// LibTorch's idle OpenMP threads spin before they sleep, by default for milliseconds. Where anything else
/// wants the same cores, the thread that has work then waits for the one that spins, and training can slow
/// down many times over. libgomp reads its setting while it is loaded, so the program starts itself once
/// more.
void limit_openmp_spinning(char** argv) {
  const bool chosen = std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr;
  if (chosen || argv[1] == nullptr || std::string_view(argv[1]) != "train") return;
  setenv("GOMP_SPINCOUNT", "10000", 1);
  execv("/proc/self/exe", argv);  // where this fails, training is merely slower
}

}  // namespace

int main(int argc, char** argv) {
  using namespace gradstab::cli;
  limit_openmp_spinning(argv);
  // LibTorch allocates and frees the same large blocks in every step; giving them back to the system each
  // time costs a page fault per 4 KiB.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);

  CLI::App app("GradientStabilizer: keep the gradient's direction, stabilize its norm.", "gradstab");
  app.set_version_flag("--version", GRADSTAB_VERSION);
  app.get_formatter()->column_width(34);
  Action action;
  add_train(app, action, command_line_of(argc, argv));
  add_report(app, action);
  add_bounds(app, action);
  add_data(app, action);
  try {
    app.parse(argc, argv);
    if (action) return action();
    print_error("no verb given; expected train, report, bounds or data (see gradstab --help)");
    return kExitUsage;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    print_error(std::string(error.what()) + " (see gradstab --help)");
    return kExitUsage;
  } catch (const gradstab::Error& error) {
    return exit_code_for({error.code(), error.what()});
  } catch (const std::exception& error) {
    const std::string text = error.what();
    print_error(text.substr(0, text.find('\n')));
    return kExitFailure;
  }
}
