#include "cli/training_program.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "lab/support/files.hpp"
#include "lab/sweep/process.hpp"

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

Status check_device(const std::string& device) {
  if (device == "cpu") return {};
  const auto answer = std::filesystem::temp_directory_path() / fmt::format("gradstab-device-{}", getpid());
  auto process = lab::Process::start({training_program(), "device", device}, answer);
  if (!process) return process.status();
  std::optional<int> exit_code;
  while (!(exit_code = process->poll())) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const auto text = lab::read_file(answer);
  std::filesystem::remove(answer);
  if (*exit_code == 0) return {};
  if (!text) return text.status();
  // "gradstab: --device cuda: LibTorch found no CUDA device"
  const std::string line = text->substr(0, text->find('\n'));
  const std::string prefix = fmt::format("gradstab: --device {}: ", device);
  return {StatusCode::failed_precondition, line.starts_with(prefix) ? line.substr(prefix.size()) : line};
}

}  // namespace gradstab::cli
