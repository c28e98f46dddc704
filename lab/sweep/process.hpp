// A run in a process of its own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// A child process whose output goes to a file. It is asked to stop if this process dies.
class Process {
 public:
  /// Errors: the operating system's reason.
  static Result<Process> start(const std::vector<std::string>& command, const std::filesystem::path& log);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();  ///< kills it if it still runs

  /// The exit code once it has ended, 128 + signal if a signal ended it.
  std::optional<int> poll();

  /// Asks it to finish its step and stop.
  void interrupt() const noexcept;

 private:
  explicit Process(pid_t pid) noexcept : pid_(pid) {}

  pid_t pid_ = -1;
};

}  // namespace gradstab::lab
