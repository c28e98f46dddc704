#include "lab/train/machine_limits.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "lab/support/file_kinds.hpp"
#include "lab/support/files.hpp"
#include "lab/support/numbers.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab {
namespace {

constexpr double kBytesPerNumber = 4.0;

/// Of a file that holds a number of bytes, or a word such as "max"; 0 without one.
std::uint64_t bytes_in(const std::string& path) {
  const auto text = read_file(path, kSystemFile);
  if (!text.ok()) return 0;
  const auto bytes = parse_number<std::uint64_t>(text->substr(0, text->find('\n')));
  return bytes.ok() ? *bytes : 0;
}

/// Of version 2, or of version 1.
std::uint64_t control_group_limit() {
  const std::uint64_t limit = bytes_in("/sys/fs/cgroup/memory.max");
  return limit > 0 ? limit : bytes_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
}

/// Numbers that the optimizer keeps per parameter (Optimizer::ParameterState in gradstab/optimizer.hpp).
double state_numbers(const TrainOptions& options) {
  if (options.optimizer == "sgd" && options.beta1 == 0.0) return 0.0;
  return optimizer_choice(options.optimizer).states;
}

}  // namespace

Machine Machine::here() {
  Machine machine;
  machine.cores = std::max(1u, std::thread::hardware_concurrency());
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0)
    machine.memory = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  const std::uint64_t limit = control_group_limit();
  if (limit > 0 && (machine.memory == 0 || limit < machine.memory)) machine.memory = limit;
  return machine;
}

double MemoryNeed::total() const {
  return weights + optimizer_state + std::max(gradients, activations);
}

MemoryNeed memory_need(const TrainOptions& options) {
  if (options.kind == nullptr) return {};
  const ModelSize size = options.kind->model_size(options);
  MemoryNeed need;
  need.weights = kBytesPerNumber * size.parameters;
  need.gradients = options.step_in_backward ? 0.0 : need.weights;
  need.optimizer_state = state_numbers(options) * need.weights;
  need.activations = kBytesPerNumber * size.activations;
  return need;
}

Status check_machine(const TrainOptions& options, const Machine& machine, int jobs) {
  constexpr unsigned kThreadsPerCore = 8;
  constexpr unsigned kFewest = 64;  // that are taken from anyone
  const auto most_threads = static_cast<int>(std::max(kFewest, kThreadsPerCore * machine.cores));
  if (options.threads > most_threads) {
    return {StatusCode::invalid_argument,
            fmt::format("threads must be at most {} on this machine, which has {} core{}, got {}; "
                        "--ignore-limits starts it anyway",
                        most_threads, machine.cores, machine.cores == 1 ? "" : "s", options.threads)};
  }
  MemoryNeed need = memory_need(options);
  if (options.on_device()) need = {.weights = need.weights};
  const double total = static_cast<double>(jobs) * need.total();
  if (machine.memory == 0 || total <= static_cast<double>(machine.memory)) return {};
  const std::string parts =
      options.on_device()
          ? std::string("for weights, which are created in the host's memory")
          : fmt::format("weights {}, optimizer state {}, {} {}", memory_text(need.weights),
                        memory_text(need.optimizer_state),
                        need.gradients > need.activations ? "gradients" : "activations of a micro-batch",
                        memory_text(std::max(need.gradients, need.activations)));
  return {StatusCode::failed_precondition,
          fmt::format("{} at least {} of memory ({}{}), and this machine has {}; choose a smaller model "
                      "or batch, or start it anyway with --ignore-limits",
                      jobs == 1 ? "this run needs" : fmt::format("{} such runs at a time need", jobs),
                      memory_text(total), jobs == 1 ? "" : "each: ", parts,
                      memory_text(static_cast<double>(machine.memory)))};
}

std::string memory_text(double bytes) {
  const bool small = bytes < 1e9;
  return fmt::format("{:.1f} {} ({:.0f} bytes)", bytes / (small ? 1e6 : 1e9), small ? "MB" : "GB", bytes);
}

}  // namespace gradstab::lab
