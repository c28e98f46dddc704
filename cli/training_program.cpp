#include "cli/training_program.hpp"

#include <cstdlib>
#include <filesystem>

namespace gradstab::cli {
namespace {

/// LibTorch's idle OpenMP threads spin before they sleep, by default for milliseconds. Where anything else
/// wants the same cores, the thread that has work then waits for the one that spins, and training can slow
/// down many times over. libgomp reads its setting while it is loaded.
void limit_openmp_spinning() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
}

}  // namespace

std::string training_program() {
  limit_openmp_spinning();
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return self.parent_path() / "gradstab-train";
}

}  // namespace gradstab::cli
