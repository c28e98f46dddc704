// gradstab-train: the verb that needs LibTorch, started by gradstab.
#include <malloc.h>

#include <memory>
#include <string>

#include "cli/program.hpp"
#include "cli/train_arguments.hpp"

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

}  // namespace

int main(int argc, char** argv) {
  using namespace gradstab::cli;
  // LibTorch allocates and frees the same large blocks in every step; giving them back to the system each
  // time costs a page fault per 4 KiB.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  return run_program(argc, argv, [&](CLI::App& app, Action& action) {
    add_train(app, action, [&](const TrainArguments& arguments) {
      return run_training(arguments, command_line_of(argc, argv));
    });
    // For gradstab alone, which has no LibTorch to ask.
    CLI::App* device = app.add_subcommand("device", "whether a run can use a device");
    const auto name = std::make_shared<std::string>();
    device->add_option("name", *name)->required();
    device->callback([&action, name] { action = [name] { return run_device_check(*name); }; });
  });
}
