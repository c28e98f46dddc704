// Executor: who runs the pieces of a step. Results never depend on it.
#pragma once

#include <cstddef>
#include <memory>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

/// Runs independent tasks, possibly in parallel. An engine with threads of its own passes them in by
/// implementing this; two pools that compete for the same cores are slower than either.
class GRADSTAB_API Executor {
 public:
  using Task = void (*)(void* context, std::size_t index) noexcept;

  virtual ~Executor() = default;

  /// Threads that may run tasks at the same time, at least 1.
  virtual unsigned concurrency() const noexcept = 0;

  /// Calls task(context, i) once for every i in [0, count), in any order, and returns when all are done.
  virtual void run(std::size_t count, Task task, void* context) noexcept = 0;
};

/// Runs everything in the calling thread.
GRADSTAB_API std::shared_ptr<Executor> serial_executor();

/// A pool with `threads` threads, the calling one included. Errors: 0 threads, or the system refuses to start
/// one.
GRADSTAB_API Result<std::shared_ptr<Executor>> thread_pool(unsigned threads);

}  // namespace gradstab
