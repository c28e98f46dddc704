#include "cli/interrupt.hpp"

#include <csignal>

namespace gradstab::cli {
namespace {

volatile std::sig_atomic_t was_interrupted = 0;

void on_interrupt(int signal) {
  was_interrupted = 1;
  std::signal(signal, SIG_DFL);
}

/// A terminal that goes says so more than once: the kernel does, and the shell.
void on_hangup(int) {
  was_interrupted = 1;
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  // nohup has said that it goes on.
  if (std::signal(SIGHUP, on_hangup) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() {
  return was_interrupted != 0;
}

}  // namespace gradstab::cli
