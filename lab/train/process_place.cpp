#include "lab/train/process_place.hpp"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string_view>

#include "lab/support/numbers.hpp"

namespace gradstab::lab {
namespace {

constexpr const char* kAddress = "MASTER_ADDR";
constexpr const char* kPort = "MASTER_PORT";

/// The variables of a launcher. Those of an MPI name the job by a text of its own.
struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* local_size;  ///< processes of the group on this machine
  const char* job;
};

// Slurm sets SLURM_NTASKS also where a batch script runs, which is one process; of a step it says the size in
// another variable.
constexpr std::array kLaunchers = {
    Launcher{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"},
    Launcher{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
             "PMIX_NAMESPACE"},
    Launcher{"mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "PMI_ID"},
    Launcher{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE", "SLURM_JOB_ID"},
};

/// Nothing where there is no text, or no number in it.
std::optional<std::int64_t> whole_number(const char* text) {
  if (text == nullptr) return {};
  const auto value = parse_number<std::int64_t>(text);
  return value ? std::optional(*value) : std::nullopt;
}

Result<std::int64_t> number_in(const Variables& variable, const char* name, std::int64_t least,
                               std::int64_t most) {
  const char* const text = variable(name);
  const auto value = whole_number(text);
  if (value && *value >= least && *value <= most) return *value;
  return Status(StatusCode::invalid_argument,
                fmt::format("the environment variable {} must be a number from {} to {}, got {}", name, least,
                            most, text == nullptr ? "nothing" : fmt::format("'{}'", text)));
}

/// A port that depends on the job, so that two jobs on one machine rarely have the same.
std::int64_t port_of_job(const char* job) {
  constexpr std::uint64_t kFirst = 20000, kPorts = 12000;  // below those that systems give to clients
  std::uint64_t hash = 0xcbf29ce484222325u;                // FNV-1a
  for (const char letter : std::string_view(job == nullptr ? "" : job))
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3u;
  return static_cast<std::int64_t>(kFirst + hash % kPorts);
}

Result<ProcessPlace> place_by(const Launcher& launcher, const Variables& variable) {
  constexpr std::int64_t kMostProcesses = 1 << 20;
  ProcessPlace place;
  place.launcher = launcher.name;
  const auto size = number_in(variable, launcher.size, 1, kMostProcesses);
  if (!size) return size.status();
  const auto rank = number_in(variable, launcher.rank, 0, *size - 1);
  if (!rank) return rank.status();
  place.rank = *rank;
  place.size = *size;
  if (place.size == 1) return place;
  // Slurm's has the form "2(x4)" for several machines.
  const char* const local = variable(launcher.local_size);
  const auto here = whole_number(local);
  place.local_size = here.value_or(place.size);
  if (const char* const address = variable(kAddress); address != nullptr && *address != '\0') {
    place.address = address;
  } else if (local != nullptr && here != place.size) {
    return Status(
        StatusCode::invalid_argument,
        fmt::format("the {} processes are on several machines: set {} to the address of the first one's, "
                    "and {} to a port that is free there",
                    place.size, kAddress, kPort));
  }
  if (variable(kPort) == nullptr) {
    place.port = port_of_job(variable(launcher.job));
    return place;
  }
  const auto port = number_in(variable, kPort, 1, 65534);
  if (!port) return port.status();
  // On its own port torchrun itself may be listening, in words of another version.
  place.port = std::string_view(launcher.name) == "torchrun" ? *port + 1 : *port;
  return place;
}

}  // namespace

Result<ProcessPlace> process_place(const Variables& variable) {
  for (const Launcher& launcher : kLaunchers)
    if (variable(launcher.rank) != nullptr && variable(launcher.size) != nullptr)
      return place_by(launcher, variable);
  return ProcessPlace{};
}

}  // namespace gradstab::lab
