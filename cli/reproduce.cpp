// gradstab reproduce
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <thread>

#include "cli/commands.hpp"
#include "cli/interrupt.hpp"
#include "cli/run_sweep.hpp"
#include "cli/terminal.hpp"
#include "cli/training_program.hpp"
#include "cli/values.hpp"
#include "lab/reproduce/decides_page.hpp"
#include "lab/reproduce/items.hpp"
#include "lab/reproduce/looks.hpp"
#include "lab/reproduce/names.hpp"
#include "lab/reproduce/outputs.hpp"
#include "lab/reproduce/overview.hpp"
#include "lab/reproduce/plan.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"
#include "lab/tasks.hpp"

namespace gradstab::cli {
namespace {

struct ReproduceArguments {
  std::string item;
  std::string scale = "smoke";
  std::string output;
  std::string data;
  std::string records;
  std::string overview;
  int seeds = 0;
  int until_decided = 0;
  int jobs = 0;
  bool on_cpu = false;
  bool force = false;
  bool ignore_limits = false;
};

/// The device of the scales that are made for one.
constexpr const char* kGpu = "cuda";
/// Runs that share it: a run of a small model leaves it idle while the host prepares launches, and each takes
/// some 4 GB of host memory.
constexpr int kJobsOnGpu = 4;

Status invalid(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

std::string folder_of(const std::string& item, std::string_view scale) {
  return fmt::format("reproductions/{}-{}", item, scale);
}

std::string names_of_items() {
  std::string text;
  for (const lab::Item& item : lab::all_items()) text += (text.empty() ? "" : ", ") + item.name;
  return text;
}

int list_items() {
  for (const lab::Item& item : lab::all_items()) {
    print("{:<16} {}\n{:<16} {}\n", item.name, item.title, "", item.says);
    bool begun = false;
    for (const std::string_view scale : lab::kScaleNames) {
      const std::string state = lab::state_of_reproduction(folder_of(item.name, scale));
      if (state.empty()) continue;
      begun = true;
      print("{:<16} here: {}: {}\n", "", scale, state);
    }
    if (!begun) print("{:<16} here: not begun\n", "");
    print("\n");
  }
  print("gradstab reproduce ITEM --scale smoke|cpu|gpu|paper runs one; its state is kept in {}\n",
        folder_of("ITEM", "SCALE"));
  return kExitOk;
}

/// Whether the runs are made for a GPU and shall have one.
bool on_gpu(const ReproduceArguments& arguments, lab::Scale scale, const lab::TaskKind& kind) {
  return (scale == lab::Scale::gpu || scale == lab::Scale::paper) && kind.trains_on_gpu() &&
         !arguments.on_cpu;
}

/// What a scale needs that is not here.
Status check_scale(const ReproduceArguments& arguments, lab::Scale scale, const lab::TaskKind& kind) {
  const std::string_view needed = kind.data_of_the_paper();
  if (scale == lab::Scale::paper && arguments.data.empty() && !needed.empty())
    return invalid(fmt::format("--scale paper needs {}", needed));
  if (!on_gpu(arguments, scale, kind)) return {};
  const Status usable = check_device(kGpu);
  if (usable.ok()) return {};
  return {usable.code(),
          fmt::format("--scale {} is made for a GPU, but {}; --on-cpu runs it on the CPU anyway, "
                      "which can take weeks",
                      arguments.scale, usable.message())};
}

/// How long the runs take, as far as that is known.
std::string expected_time(const std::vector<lab::PlannedRun>& runs, unsigned cores, int jobs, bool gpu) {
  constexpr const char* kUnknown = "how long they take was not measured";
  if (gpu) {
    const auto estimate = lab::estimated_device_seconds(runs, jobs);
    if (!estimate) return kUnknown;
    return fmt::format(
        "about {} on one H100, estimated from the number of operations and the rate of a short run there",
        format_duration(*estimate));
  }
  const auto seconds = lab::expected_seconds(runs, std::min(cores, static_cast<unsigned>(jobs)));
  if (!seconds) return kUnknown;
  return fmt::format("about {} on this many idle cores of a server, less what has been done",
                     format_duration(*seconds));
}

void print_verdicts(const std::vector<lab::ClaimResult>& results) {
  for (const lab::ClaimResult& result : results) {
    std::string horizons;
    for (const auto& at : result.horizons)
      horizons += fmt::format("{}{}: {}", horizons.empty() ? "" : ", ", at.horizon, to_string(at.verdict));
    print("{:<26} {}{}\n", to_string(result.verdict), result.claim.text,
          horizons.empty() ? std::string(" (no runs of it at this scale)") : fmt::format(" ({})", horizons));
  }
}

/// The verdicts.
Result<std::vector<lab::ClaimResult>> judge_and_write(const lab::Item& item, const lab::Records& records,
                                                      const std::string& output) {
  auto verdicts = lab::judge(item.claims(), records);
  GRADSTAB_RETURN_IF_ERROR(lab::write_outputs(item, records, verdicts, output));
  print_verdicts(verdicts);
  print("report   {}\n", (std::filesystem::absolute(output) / lab::kPageName).string());
  return verdicts;
}

/// Verdicts and page of runs that were recorded before, here or elsewhere.
int judge_again(const lab::Item& item, const ReproduceArguments& arguments) {
  auto bytes = lab::read_file(arguments.records, lab::kRecordsFile);
  if (!bytes) return exit_code_for(bytes.status());
  const auto unusable = [&](const Status& status) {
    return exit_code_for({status.code(), fmt::format("'{}' {}", arguments.records, status.message())});
  };
  const auto text = lab::unpacked(*std::move(bytes), lab::kRecordsFile.max_bytes);
  if (!text) return unusable(text.status());
  const auto records = lab::records_from_json_lines(*text);
  if (!records) return unusable(records.status());
  if (records->item != item.name) {
    return exit_code_for(invalid(
        fmt::format("'{}' holds the runs of {}, not of {}", arguments.records, records->item, item.name)));
  }
  if (arguments.output.empty())
    return exit_code_for(invalid("--records needs --output, a folder for the page"));
  for (const std::string_view name : lab::kOutputs) {
    const auto file = std::filesystem::path(arguments.output) / name;
    if (const Status free = check_not_there(file, "--output", arguments.force); !free.ok())
      return exit_code_for(free);
  }
  const auto verdicts = judge_and_write(item, *records, arguments.output);
  return verdicts ? kExitOk : exit_code_for(verdicts.status());
}

/// README.md of a folder of reproductions, and the page over all of them.
int write_overview(const std::string& folder) {
  const auto reproductions = lab::read_reproductions(folder);
  if (!reproductions) return exit_code_for(reproductions.status());
  const std::pair<const char*, std::string> pages[] = {
      {lab::kOverviewName, lab::render_overview(*reproductions)},
      {lab::kDecidesName, lab::render_decides_page(*reproductions)}};
  for (const auto& [name, content] : pages) {
    const auto file = std::filesystem::path(folder) / name;
    const Status written = lab::write_file_atomically(file, content);
    if (!written.ok()) return exit_code_for(written);
    print("overview {}\n", std::filesystem::absolute(file).string());
  }
  return kExitOk;
}

/// What all calls of a reproduction must agree on beside item and scale.
lab::Json pinned_settings(const lab::TrainOptions& options) {
  const lab::Json all = lab::to_json(options);
  lab::Json pinned = lab::Json::object();
  if (const auto data = options.kind->data_settings(); !data.empty()) {
    const std::string source(data.front());
    pinned[source] = all.at(source);
  }
  pinned["device"] = options.device;
  return pinned;
}

/// What all runs of a reproduction have in common.
struct Reproduction {
  const lab::Item& item;
  lab::Scale scale;
  lab::Settings common = {};
  int jobs = 1;
  bool gpu = false;
  std::string output = {};
  bool ignore_limits = false;
};

/// The folder, locked. Errors: other runs are in it.
Result<lab::SweepDirectory> open_folder(const Reproduction& reproduction, const lab::Plan& plan,
                                        const lab::TrainOptions& options) {
  nlohmann::ordered_json description = {{"format", 1},
                                        {"kind", "reproduction"},
                                        {"item", reproduction.item.name},
                                        {"scale", lab::to_string(reproduction.scale)},
                                        {"settings", pinned_settings(options)}};
  // Looks that were not planned are errors that nobody has counted.
  if (!plan.looks.empty()) description["until_decided"] = plan.looks.back();
  auto directory = lab::SweepDirectory::open(reproduction.output, description);
  if (directory && !directory->warning().empty()) print_warning(directory->warning());
  return directory;
}

/// Trains what is missing of the seeds of the plan, and judges all of them. `decided`: more seeds would
/// change nothing.
int run_seeds(const Reproduction& reproduction, const lab::Plan& plan, bool& decided) {
  const lab::Item& item = reproduction.item;
  const auto planned = lab::planned_runs(plan, reproduction.common);
  if (!planned) return exit_code_for(planned.status());
  std::vector<lab::SweepPoint> points;
  for (const lab::PlannedRun& run : *planned) points.push_back(run.point);
  if (!reproduction.ignore_limits) {
    const Status fits = lab::check_machine(points, lab::Machine::here(), reproduction.jobs);
    if (!fits.ok()) return exit_code_for(fits);
  }
  const auto directory = open_folder(reproduction, plan, points.front().options);
  if (!directory) return exit_code_for(directory.status());
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  print("{} runs, {} at a time, {} seed{}{}; {} -> {}\n", points.size(), reproduction.jobs, plan.seeds,
        plan.seeds == 1 ? "" : "s",
        plan.looks.empty() ? "" : fmt::format(" of at most {}", plan.looks.back()),
        expected_time(*planned, cores, reproduction.jobs, reproduction.gpu), reproduction.output);
  flush_output();

  const auto results = run_with_progress(*directory, points, reproduction.jobs, reproduction.ignore_limits);
  if (!results) return exit_code_for(results.status());
  for (const lab::SweepPoint& point : points) directory->drop_checkpoint(point);
  if (interrupted()) {
    print("interrupted; the same command continues\n");
    return kExitInterrupted;
  }
  const auto records =
      lab::collect_records(item.name, reproduction.scale, plan, *planned, *results, *directory);
  if (!records) return exit_code_for(records.status());
  const auto verdicts = judge_and_write(item, *records, reproduction.output);
  if (!verdicts) return exit_code_for(verdicts.status());
  decided = lab::all_decided(*verdicts);
  return exit_code_of_runs(*results, reproduction.output);
}

int reproduce(const lab::Item& item, const ReproduceArguments& arguments) {
  Reproduction reproduction{.item = item, .scale = *lab::scale_named(arguments.scale)};
  lab::Plan plan = lab::plan_of(item, reproduction.scale);
  const auto kind = lab::task_named(plan.task);
  if (!kind) return exit_code_for(kind.status());
  if (const Status ready = check_scale(arguments, reproduction.scale, **kind); !ready.ok())
    return exit_code_for(ready);
  reproduction.gpu = on_gpu(arguments, reproduction.scale, **kind);
  const auto cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  reproduction.jobs = arguments.jobs > 0 ? arguments.jobs : reproduction.gpu ? kJobsOnGpu : cores;
  reproduction.output = arguments.output.empty() ? folder_of(item.name, arguments.scale) : arguments.output;
  reproduction.ignore_limits = arguments.ignore_limits;
  if (!arguments.data.empty()) {
    const auto settings = (*kind)->data_settings();
    if (settings.empty())
      return exit_code_for(invalid(fmt::format("--data: task {} reads no data", (*kind)->name())));
    reproduction.common.emplace_back(settings.front(), arguments.data);
  }
  if (reproduction.gpu) reproduction.common.emplace_back("device", kGpu);
  print("{}: {}\n{}\n", item.name, item.title, item.says);
  bool decided = false;
  if (arguments.until_decided == 0) {
    if (arguments.seeds > 0) plan.seeds = arguments.seeds;
    return run_seeds(reproduction, plan, decided);
  }
  plan.looks = lab::looks_up_to(std::max(plan.seeds, 2), arguments.until_decided);
  for (const int seeds : plan.looks) {
    plan.seeds = seeds;
    const int code = run_seeds(reproduction, plan, decided);
    if (code != kExitOk || decided) return code;
  }
  print("not everything is decided after {} seeds\n", plan.seeds);
  return kExitOk;
}

int run_reproduce_verb(const ReproduceArguments& arguments) {
  if (!arguments.overview.empty()) return write_overview(arguments.overview);
  if (arguments.item.empty()) return list_items();
  const lab::Item* const item = lab::find_item(arguments.item);
  if (item == nullptr)
    return exit_code_for(
        invalid(fmt::format("unknown item '{}'; known are {}", arguments.item, names_of_items())));
  return arguments.records.empty() ? reproduce(*item, arguments) : judge_again(*item, arguments);
}

}  // namespace

void add_reproduce(CLI::App& app, Action& action) {
  CLI::App* verb = app.add_subcommand(
      "reproduce", "train the runs behind a figure or table of the paper, and judge its claims");
  auto arguments = std::make_shared<ReproduceArguments>();
  verb->add_option("item", arguments->item,
                   "what to reproduce; without it, all items are listed with their state here");
  verb->add_option("--scale", arguments->scale,
                   "smoke: under 2 minutes, shows only that it works; cpu: at most 90 minutes on 2 cores; "
                   "gpu: one H100, an hour at most; paper: the published setting")
      ->capture_default_str()
      ->check(CLI::IsMember(std::vector<std::string>(lab::kScaleNames.begin(), lab::kScaleNames.end())));
  add_path(*verb, "--output", arguments->output, "folder [reproductions/ITEM-SCALE]");
  add_path(*verb, "--data", arguments->data,
           "data to train on instead of the default of the task: a text or JSONL file, a series as "
           "CSV, or a folder of pictures");
  add_value(*verb, "--seeds", arguments->seeds,
            "seeds per configuration [as the item has at this scale]; more can be added later, but do not "
            "choose them because of the results: use --until-decided for that")
      ->check(CLI::Range(1, 1000));
  add_value(*verb, "--until-decided", arguments->until_decided,
            "add seeds, for all methods alike, until every effect of the claims is decided, up to this many; "
            "intervals are wider, so that judging them several times does not decide by chance")
      ->check(CLI::Range(2, 1000))
      ->excludes("--seeds");
  add_value(*verb, "--jobs", arguments->jobs,
            "runs at the same time [the number of cores; 4 on a GPU, which they share]")
      ->check(CLI::Range(1, 1024));
  verb->add_flag("--on-cpu", arguments->on_cpu, "run scale gpu or paper without a GPU");
  add_ignore_limits(*verb, arguments->ignore_limits);
  CLI::Option* records =
      add_path(*verb, "--records", arguments->records,
               "judge the runs in this records.jsonl, packed with gzip or not, and train nothing");
  add_path(*verb, "--overview", arguments->overview,
           "judge the records in every folder of this one, and write its README.md and "
           "what-decides.html; trains nothing");
  verb->add_flag("--force", arguments->force, "replace the verdicts and the page of earlier records")
      ->needs(records);
  verb->footer("\nExample: gradstab reproduce figure-1 --scale cpu");
  verb->callback([&action, arguments] { action = [arguments] { return run_reproduce_verb(*arguments); }; });
}

}  // namespace gradstab::cli
