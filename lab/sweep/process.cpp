#include "lab/sweep/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "lab/support/files.hpp"

namespace gradstab::lab {

std::string signal_text(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? fmt::format("killed by signal {} (SIG{})", signal, name)
                         : fmt::format("killed by signal {}", signal);
}

Result<Process> Process::start(const std::vector<std::string>& command, const std::filesystem::path& log) {
  const auto output = open_for_appending(log);
  return output ? start(command, *output) : output.status();
}

Result<Process> Process::start(const std::vector<std::string>& command, const Descriptor& output) {
  std::vector<char*> words;
  words.reserve(command.size() + 1);
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    // A group of its own: Ctrl-C reaches the sweep alone, which passes it on.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(130);
    const int input = open("/dev/null", O_RDONLY);
    if (input >= 0) dup2(input, STDIN_FILENO);
    dup2(output.number(), STDOUT_FILENO);
    dup2(output.number(), STDERR_FILENO);
    execv(words.front(), words.data());
    dprintf(STDERR_FILENO, "cannot start '%s'\n", words.front());
    _exit(127);
  }
  if (pid < 0)
    return Status(StatusCode::io_error, fmt::format("cannot start a run: {}", system_error_text(errno)));
  return Process(pid);
}

Process::Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Process::~Process() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

std::optional<ProcessEnd> Process::poll() {
  int status = 0;
  if (pid_ <= 0 || waitpid(pid_, &status, WNOHANG) != pid_) return {};
  pid_ = -1;
  if (WIFEXITED(status)) return ProcessEnd{WEXITSTATUS(status), 0};
  return ProcessEnd{128 + WTERMSIG(status), WTERMSIG(status)};
}

void Process::interrupt() const noexcept {
  if (pid_ > 0) kill(pid_, SIGINT);
}

Result<Answer> answer_of(const std::vector<std::string>& command, std::size_t most_bytes) {
  constexpr auto kPoll = std::chrono::milliseconds(10);
  const Descriptor output(memfd_create("answer", MFD_CLOEXEC));
  if (!output.valid())
    return Status(StatusCode::io_error, fmt::format("cannot start a run: {}", system_error_text(errno)));
  auto process = Process::start(command, output);
  if (!process) return process.status();
  std::optional<ProcessEnd> end;
  while (!(end = process->poll())) std::this_thread::sleep_for(kPoll);
  std::string text(most_bytes, '\0');
  const ssize_t count = pread(output.number(), text.data(), text.size(), 0);
  text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
  return Answer{*end, std::move(text)};
}

}  // namespace gradstab::lab
