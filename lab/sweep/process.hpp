// A run in a process of its own.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"

namespace gradstab::lab {

/// How a process has ended.
struct ProcessEnd {
  int exit_code = 0;  ///< 128 + signal if a signal ended it
  int signal = 0;     ///< 0: it ended by itself
};

/// "killed by signal 9 (SIGKILL)"
std::string signal_text(int signal);

/// A child process whose output goes to a file. It is asked to stop if this process dies.
class Process {
 public:
  /// Appends its output to `log`. Errors: those of open_for_appending, the operating system's reason.
  static Result<Process> start(const std::vector<std::string>& command, const std::filesystem::path& log);
  /// Gives it `output` for what it prints.
  static Result<Process> start(const std::vector<std::string>& command, const Descriptor& output);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();  ///< kills it if it still runs

  /// How it ended, once it has.
  std::optional<ProcessEnd> poll();

  /// Asks it to finish its step and stop.
  void interrupt() const noexcept;

 private:
  explicit Process(pid_t pid) noexcept : pid_(pid) {}

  pid_t pid_ = -1;
};

/// What a process that was waited for has printed.
struct Answer {
  ProcessEnd end;
  std::string output;
};

/// Runs a command to its end. Its output is kept in memory, `most_bytes` of it. Errors: as of Process::start.
Result<Answer> answer_of(const std::vector<std::string>& command, std::size_t most_bytes);

}  // namespace gradstab::lab
