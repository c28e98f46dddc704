// What this process runs on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gradstab::lab {

/// Which library answers LibTorch's matrix products.
struct BlasInfo {
  std::string description;  ///< "OpenBLAS 0.3.21 (OpenMP)", or the path of an unknown library
  std::string warning;      ///< empty if it is as fast as it can be; else one line that says what to do
};
BlasInfo loaded_blas();

/// The processor's model name.
std::string cpu_name();

/// From now on the memory of a freed tensor goes back to the system at once. glibc would keep it for later
/// allocations, between which it then lies in pieces: the process stays almost as large as if nothing had
/// been freed. Costs a system call and fresh pages per large tensor. Does nothing with other C libraries.
void return_freed_tensors_to_system() noexcept;

/// For run.json: versions, BLAS, processor, threads, and the GPU where a run uses one.
nlohmann::ordered_json describe_environment(const std::string& gpu = {});

}  // namespace gradstab::lab
