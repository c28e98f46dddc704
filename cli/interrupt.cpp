#include "cli/interrupt.hpp"

#include <csignal>

namespace gradstab::cli {
namespace {

volatile std::sig_atomic_t was_interrupted = 0;

void on_interrupt(int signal) {
  was_interrupted = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
}

bool interrupted() {
  return was_interrupted != 0;
}

}  // namespace gradstab::cli
