// Which of several processes this is, as its launcher says in environment variables.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// Where this process stands among those that train together.
struct ProcessPlace {
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::string launcher = {};          ///< "torchrun", "mpirun", "srun"; empty without one
  std::string address = "127.0.0.1";  ///< of the machine of the first process
  std::int64_t local_size = 1;        ///< how many of them are on this machine, as far as the launcher says
  std::int64_t port = 0;              ///< on which the first process waits for the others

  bool is_first() const noexcept { return rank == 0; }
};

/// The value of a variable, or null, as of std::getenv.
using Variables = std::function<const char*(const char*)>;

/// By torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), else by those of Open MPI, of MPICH
/// and Intel MPI, or of a Slurm step, for which MASTER_ADDR and MASTER_PORT may be set, and must be where the
/// processes are on several machines. Without any, one process alone. Errors: a variable that is missing or
/// no number; a rank that is none of the group.
Result<ProcessPlace> process_place(const Variables& variable);

}  // namespace gradstab::lab
