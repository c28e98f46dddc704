#include "gradstab/executor.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/text.hpp"

namespace gradstab {
namespace {

class SerialExecutor final : public Executor {
 public:
  unsigned concurrency() const noexcept override { return 1; }
  void run(std::size_t count, Task task, void* context) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
  }
};

/// Workers sleep between jobs; tasks of a job are handed out by a counter, so a slow core takes fewer.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(unsigned threads) {
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
    {
      const std::lock_guard lock(mutex_);
      task_ = task;
      context_ = context;
      count_ = count;
      next_.store(0, std::memory_order_relaxed);
      busy_ = workers_.size();
      ++job_;
    }
    start_.notify_all();
    drain(count, task, context);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void drain(std::size_t count, Task task, void* context) noexcept {
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, i);
  }

  void work() noexcept {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
      start_.wait(lock, [&] { return stopping_ || job_ != seen; });
      if (stopping_) return;
      seen = job_;
      const std::size_t count = count_;
      const Task task = task_;
      void* const context = context_;
      lock.unlock();
      drain(count, task, context);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  void stop() noexcept {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_;
  std::condition_variable done_;
  std::atomic<std::size_t> next_ = 0;
  std::size_t count_ = 0;
  std::size_t busy_ = 0;
  std::uint64_t job_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  bool stopping_ = false;
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
