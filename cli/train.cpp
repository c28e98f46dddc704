// gradstab train TASK: the run itself.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <new>
#include <optional>
#include <thread>
#include <utility>

#include "cli/interrupt.hpp"
#include "cli/terminal.hpp"
#include "cli/train_arguments.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/tasks.hpp"
#include "lab/train/allocation_failure.hpp"
#include "lab/train/device.hpp"
#include "lab/train/environment.hpp"
#include "lab/train/process_place.hpp"
#include "lab/train/processes.hpp"
#include "lab/train/trainer.hpp"

namespace gradstab::cli {
namespace {

Result<std::unique_ptr<lab::Task>> make_task(const lab::TrainOptions& options) {
  const auto entry = lab::entry_of(*options.kind);
  if (!entry) return entry.status();
  ProgressLine line;
  return (*entry)->make(options, [&](std::string_view doing, double fraction) {
    line.show(fraction, fmt::format("preparing data: {}", doing));
  });
}

std::string progress_text(const lab::TrainProgress& progress, const lab::TaskInfo& info,
                          double steps_per_second) {
  const double remaining = static_cast<double>(progress.steps - progress.step) / steps_per_second;
  std::string text =
      fmt::format("step {}/{}  {:.2f} steps/s  {:.0f} {}/s  ETA {}  loss {:.3f}  norm {:.3g}", progress.step,
                  progress.steps, steps_per_second, progress.samples_per_second, info.sample_in_words(),
                  format_duration(remaining), progress.loss, progress.grad_norm);
  if (!std::isnan(progress.score))
    text += fmt::format("  {} {:.3f}", lab::in_sentence(info.score().title), progress.score);
  return text;
}

/// "validation loss 4.6123, perplexity 100.72"
std::string values_text(const lab::TaskInfo& info, const lab::JsonReader& summary) {
  std::string text;
  for (const lab::Metric& metric : info.metrics) {
    const double value = summary["final_" + metric.key].number_or_nan();
    text += fmt::format(
        "{}{} {}", text.empty() ? "" : ", ", lab::in_sentence(metric.title),
        std::isnan(value) ? std::string("not finite") : fmt::format("{:.{}f}", value, metric.digits));
  }
  return text;
}

/// What run_training does, LibTorch's exceptions aside.
int train_and_report(TrainArguments arguments, const std::string& command_line,
                     const lab::ProcessPlace& place, lab::Processes& processes) {
  const bool resume = !arguments.resume.empty();
  if (Status status = processes.agreed(complete(arguments)); !status.ok()) return exit_code_for(status);
  const auto has_finished = [&] {
    if (!resume || !lab::is_finished(arguments.resume)) return false;
    print("'{}' has already finished; there is nothing to resume\n", arguments.resume);
    return true;
  };
  if (has_finished()) return kExitOk;
  std::optional<lab::RunDirectory> resumed;
  Status opened;
  if (resume && processes.is_first()) {
    // From here on, so that nobody else goes on with it while the data is prepared.
    auto directory = lab::RunDirectory::open(arguments.resume);
    opened = directory.status();
    if (directory) resumed = *std::move(directory);
  }
  opened = processes.agreed(opened);
  if (!opened.ok()) return exit_code_for(opened);
  if (has_finished()) return kExitOk;  // by whoever was at work in it until now
  const lab::TrainOptions& options = arguments.options;
  // Before the data, which can take minutes to prepare.
  const auto device = lab::device_named(options.device);
  if (!device) return exit_code_for(device.status());

  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const int share = std::max(1, static_cast<int>(cores) / static_cast<int>(place.local_size));
  at::set_num_threads(options.threads > 0 ? options.threads : share);
  if (const auto blas = lab::loaded_blas(); !blas.warning.empty() && !options.on_device())
    print_warning(blas.warning);

  auto task = make_task(options);
  if (const Status made = processes.agreed(task.status()); !made.ok()) return exit_code_for(made);
  const lab::TaskInfo& info = (*task)->info();
  const auto data = (*task)->describe_data();
  if (const std::string source = lab::JsonReader(data, "")["source"].text_or(""); !source.empty())
    print("data     {}\n", source);
  print("model    {}\n", (*task)->model_text());
  if (options.on_device()) {
    const std::string gpu = lab::device_model(*device);
    print("device   {}{}\n", options.device, gpu.empty() ? "" : ", " + gpu);
  }
  if (lab::has_16_bit_activations(options.number_format()) && !options.on_device())
    print("format   {}, simulated: computed in f32 and rounded, which is slower than fp32\n",
          options.precision);
  if (!processes.alone()) print("together {} processes, by {}\n", processes.size(), place.launcher);
  print("run      {} -> {}\n", arguments.name, arguments.output);
  flush_output();

  catch_interrupts();
  ProgressLine line;
  const auto begin = std::chrono::steady_clock::now();
  std::int64_t first_step = -1;
  lab::TrainRequest request;
  request.options = options;
  request.directory = arguments.output;
  request.name = arguments.name;
  request.command = command_line;
  request.force = arguments.force;
  request.resume = resume;
  request.resumed = std::move(resumed);
  request.processes = &processes;
  request.on_warning = print_warning;
  request.should_stop = interrupted;
  request.on_step = [&](const lab::TrainProgress& progress) {
    if (first_step < 0) first_step = progress.step - 1;
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const double rate = static_cast<double>(progress.step - first_step) / std::max(seconds, 1e-9);
    line.show(static_cast<double>(progress.step) / static_cast<double>(progress.steps),
              progress_text(progress, info, rate));
  };
  const auto result = lab::train(**task, std::move(request));
  line.finish();
  if (!result) {
    // The first may be the one that is gone.
    if (processes.lost()) set_quiet(false);
    return exit_code_for(result.status());
  }
  if (!processes.is_first())
    return result->outcome == lab::TrainOutcome::interrupted ? kExitInterrupted : kExitOk;
  if (!result->warning.empty()) print_warning(result->warning);
  const lab::JsonReader summary(result->summary, "");
  const std::int64_t step = summary["step"].whole();
  if (result->outcome == lab::TrainOutcome::interrupted) {
    if (step == 0) {
      print("interrupted before the first update; there is nothing to resume\n");
    } else {
      print("interrupted after update {}; continue with: gradstab train {} --resume {}\n", step, info.name,
            arguments.output);
    }
    return kExitInterrupted;
  }
  const double rate = summary[info.rate_key()].number_or_nan();
  print("result   {}, {} gradient spikes, {}{}{}\n", values_text(info, summary), summary["spikes"].whole(),
        format_duration(summary["seconds"].number()),
        std::isnan(rate) ? std::string() : fmt::format(" at {:.0f} {}/s", rate, info.sample_in_words()),
        summary["diverged"].truth() ? "  DIVERGED: not better than an uninformed guess" : "");
  if (lab::needs_loss_scaling(options.number_format()))
    print("scaling  {} of {} steps skipped for gradients that were not finite\n",
          summary["skipped_steps"].whole(), step);
  return kExitOk;
}

}  // namespace

int run_training(TrainArguments arguments, const std::string& command_line) {
  const auto place = lab::process_place([](const char* name) { return std::getenv(name); });
  if (!place) return exit_code_for(place.status());
  auto processes = lab::Processes::join(*place, std::chrono::seconds(arguments.process_timeout));
  if (!processes) return exit_code_for(processes.status());
  set_quiet(!processes->is_first());
  try {
    return train_and_report(std::move(arguments), command_line, *place, *processes);
  } catch (const c10::Error& error) {
    return exit_code_for(lab::status_of(error));
  } catch (const std::bad_alloc& error) {
    return exit_code_for(lab::status_of(error));
  }
}

int run_device_check(const std::string& device) {
  const auto found = lab::device_named(device);
  return found ? kExitOk : exit_code_for(found.status());
}

}  // namespace gradstab::cli
