#include "executor.hpp"

#include "text.hpp"

namespace gradstab::c {
namespace {

/// More are taken for a number that was never set.
constexpr std::uint32_t kMostThreads = 1024;

/// Hands tasks to the caller's function.
class CallbackExecutor final : public Executor {
 public:
  CallbackExecutor(gradstab_run_tasks function, void* user, unsigned concurrency) noexcept
      : function_(function), user_(user), concurrency_(concurrency) {}

  unsigned concurrency() const noexcept override { return concurrency_; }
  void run(std::size_t count, Task task, void* context) noexcept override {
    function_(count, task, context, user_);
  }

 private:
  gradstab_run_tasks function_;
  void* user_;
  unsigned concurrency_;
};

}  // namespace

Result<std::shared_ptr<Executor>> make_executor(const gradstab_run_options& options) {
  if (options.run != nullptr) {
    if (options.threads != 0) {
      return invalid("threads must be 0 where run is given, got ", options.threads);
    }
    if (options.concurrency == 0) return invalid("concurrency must be at least 1 where run is given, got 0");
    return std::shared_ptr<Executor>(
        std::make_shared<CallbackExecutor>(options.run, options.user, options.concurrency));
  }
  if (options.concurrency != 0) {
    return invalid("concurrency must be 0 where no run is given, got ", options.concurrency);
  }
  if (options.user != nullptr) return invalid("user must be NULL where no run is given");
  if (options.threads > kMostThreads) {
    return invalid("threads must be at most ", kMostThreads, ", got ", options.threads);
  }
  return options.threads <= 1 ? serial_executor() : thread_pool(options.threads);
}

}  // namespace gradstab::c
