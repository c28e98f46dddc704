#include "cli/training_program.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "lab/sweep/process.hpp"

namespace gradstab::cli {
namespace {

/// LibTorch's idle OpenMP threads spin before they sleep, by default for milliseconds. Where anything else
/// wants the same cores, the thread that has work then waits for the one that spins, and training can slow
/// down many times over. libgomp reads its setting while it is loaded.
void limit_openmp_spinning() {
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) setenv("GOMP_SPINCOUNT", "10000", /*overwrite=*/0);
}

/// What goes wrong between processes is said once, in our own words. LibTorch's logger is read when it is
/// loaded.
void silence_logger() {
  setenv("GLOG_minloglevel", "4", /*overwrite=*/0);
}

}  // namespace

std::string training_program() {
  limit_openmp_spinning();
  silence_logger();
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return self.parent_path() / "gradstab-train";
}

Status check_device(const std::string& device) {
  if (device == "cpu") return {};
  constexpr std::size_t kMostBytes = 64 * 1024;
  const auto answer = lab::answer_of({training_program(), "device", device}, kMostBytes);
  if (!answer) return answer.status();
  if (answer->end.exit_code == 0) return {};
  // "gradstab: --device cuda: LibTorch found no CUDA device"
  const std::string line = answer->output.substr(0, answer->output.find('\n'));
  const std::string prefix = fmt::format("gradstab: --device {}: ", device);
  return {StatusCode::failed_precondition, line.starts_with(prefix) ? line.substr(prefix.size()) : line};
}

}  // namespace gradstab::cli
