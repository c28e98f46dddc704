// gradstab replay
#include "lab/replay/replay.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "lab/replay/methods.hpp"
#include "lab/support/files.hpp"

namespace gradstab::cli {
namespace {

struct ReplayArguments {
  std::string input;
  std::string output;
  std::string dtype = "f64";
  std::vector<std::string> settings;
  bool force = false;
  lab::ReplayOptions options;
};

int run_replay(const ReplayArguments& arguments) {
  lab::ReplayOptions options = arguments.options;
  options.dtype = arguments.dtype == "f32" ? DType::float32 : DType::float64;
  for (const std::string& setting : arguments.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == 0 || equals == std::string::npos) {
      print_error(fmt::format("--set must be KEY=VALUE, got '{}'", setting));
      return kExitUsage;
    }
    options.overrides[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  if (const Status free = check_not_there(arguments.output, "--output", arguments.force); !free.ok())
    return exit_code_for(free);
  const auto text = lab::read_file(arguments.input, lab::kRecordingFile);
  if (!text) return exit_code_for(text.status());
  const auto recording =
      lab::parse_json(*text, fmt::format("'{}'", arguments.input), lab::kRecordingFile.max_bytes);
  if (!recording) return exit_code_for(recording.status());
  const auto replayed = lab::replay(*recording, options);
  if (!replayed) {
    return exit_code_for(
        {replayed.status().code(), fmt::format("'{}': {}", arguments.input, replayed.status().message())});
  }
  if (const Status written = lab::write_file_atomically(arguments.output, *replayed); !written.ok())
    return exit_code_for(written);
  return kExitOk;
}

std::string list_of_methods() {
  std::string text = "Methods:\n";
  for (const auto& [name, summary] : lab::replayed_methods())
    text += fmt::format("  {:<22}{}\n", name, summary);
  return text;
}

}  // namespace

void add_replay(CLI::App& app, Action& action) {
  CLI::App* replay =
      app.add_subcommand("replay", "feed recorded gradients through a method, to compare implementations");
  auto arguments = std::make_shared<ReplayArguments>();
  replay->add_option("--method", arguments->options.method,
                     "see below, or a chain with its settings: zclip(z_threshold=3)+stabilize [the file's]");
  add_path(*replay, "--input", arguments->input, "recording: JSON, see tests/golden/README.md")->required();
  add_path(*replay, "--output", arguments->output, "file to write: the recording with this library's results")
      ->required();
  replay
      ->add_option("--set", arguments->settings,
                   "KEY=VALUE: a setting that replaces the recorded one; also compat=released and "
                   "nonfinite=POLICY")
      ->allow_extra_args(false);
  replay->add_option("--dtype", arguments->dtype, "arithmetic: f64 or f32")
      ->capture_default_str()
      ->check(CLI::IsMember({"f64", "f32"}));
  replay->add_option("--case", arguments->options.only_case, "replay only this case [all]");
  replay->add_option("--backend", arguments->options.backend, "kernels [the fastest supported]");
  replay->add_flag("--force", arguments->force, "replace an existing output file");
  replay->footer(
      "\n" + list_of_methods() +
      "\nExample: gradstab replay --method zclip --input zclip.json --output ours.json --set z_thresh=3");
  replay->callback([&action, arguments] { action = [arguments] { return run_replay(*arguments); }; });
}

}  // namespace gradstab::cli
