#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/base/text.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {
namespace {

class SerialExecutor final : public Executor {
 public:
  unsigned concurrency() const noexcept override { return 1; }
  void run(std::size_t count, Task task, void* context) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }
};

/// Tells the core that this thread only waits; a few dozen cycles.
void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Tasks of a job are handed out by a counter, so a slow core takes fewer. The calling thread works too and
/// waits only for workers that have joined: one that is still asleep, or whose core is taken by another
/// program, finds the job closed and delays nobody.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(unsigned threads)
      // Spinning for longer than a core is really free would take it from whom the wait is for.
      : spins_(threads <= std::thread::hardware_concurrency() ? kSpins : 0) {
    try {
      for (unsigned i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~ThreadPool() override { stop(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned concurrency() const noexcept override { return static_cast<unsigned>(workers_.size()) + 1; }

  void run(std::size_t count, Task task, void* context) noexcept override {
    if (count <= 1 || workers_.empty()) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    bool wake = false;
    {
      const std::lock_guard lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      open_ = true;
      job_.fetch_add(1, std::memory_order_release);
      wake = sleeping_ > 0;
    }
    if (wake) start_.notify_all();
    drain(count, task, context);
    {
      const std::lock_guard lock(mutex_);
      open_ = false;
    }
    spin_until([this] { return joined_.load(std::memory_order_acquire) == 0; });
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return joined_.load(std::memory_order_acquire) == 0; });
  }

 private:
  /// Some 20 to 50 microseconds: longer than the pauses between the jobs of one step, shorter than putting a
  /// thread to sleep and waking it again is worth.
  static constexpr int kSpins = 1000;

  template <class Condition>
  void spin_until(Condition condition) const noexcept {
    for (int i = 0; i < spins_ && !condition(); ++i) pause();
  }

  void drain(std::size_t count, Task task, void* context) noexcept {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, i);
  }

  void work() noexcept {
    std::uint64_t seen = 0;
    for (;;) {
      spin_until([&] { return job_.load(std::memory_order_acquire) != seen; });
      std::unique_lock lock(mutex_);
      ++sleeping_;
      start_.wait(lock, [&] { return stopping_ || job_.load(std::memory_order_relaxed) != seen; });
      --sleeping_;
      if (stopping_) return;
      seen = job_.load(std::memory_order_relaxed);
      if (!open_) continue;
      const std::size_t count = count_;
      const Task task = task_;
      void* const context = context_;
      joined_.fetch_add(1, std::memory_order_relaxed);
      lock.unlock();
      drain(count, task, context);
      lock.lock();
      if (joined_.fetch_sub(1, std::memory_order_release) == 1) done_.notify_one();
    }
  }

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      job_.fetch_add(1, std::memory_order_release);  // ends the spinning
    }
    start_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const int spins_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  std::atomic<std::uint64_t> job_ =
      0;  // counts them; written under the mutex, as is `joined_` where it grows
  std::atomic<std::size_t> joined_ = 0;
  std::atomic<std::size_t> next_ = 0;
  // Under the mutex:
  bool open_ = false;
  bool stopping_ = false;
  std::size_t sleeping_ = 0;
  std::size_t count_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::vector<std::thread> workers_;  // last: they use the rest
};

}  // namespace

std::shared_ptr<Executor> serial_executor() {
  return std::make_shared<SerialExecutor>();
}

Result<std::shared_ptr<Executor>> thread_pool(unsigned threads) {
  if (threads == 0) return Status(StatusCode::invalid_argument, "threads must be at least 1, got 0");
  if (threads == 1) return serial_executor();
  try {
    return std::shared_ptr<Executor>(std::make_shared<ThreadPool>(threads));
  } catch (const std::system_error& error) {
    return Status(StatusCode::io_error, detail::concat("cannot start ", threads, " threads: ", error.what()));
  }
}

}  // namespace gradstab
