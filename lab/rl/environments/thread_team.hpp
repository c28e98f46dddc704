// A few threads that do one thing at a time together.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gradstab::lab::rl {

/// Threads that wait between calls. Which thread does which piece is not defined, so pieces must not depend
/// on each other.
class ThreadTeam {
 public:
  /// `threads` in all, the caller's among them; at least 1.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  /// Calls work(i) for every i from 0 to count - 1 and returns when all are done. `work` must not throw.
  void run(int count, const std::function<void(int)>& work);

 private:
  void wait_for_work();
  /// Takes pieces until there are none.
  void take_pieces(std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;
  std::condition_variable begun_, done_;
  // Guarded by mutex_.
  const std::function<void(int)>* work_ = nullptr;
  int count_ = 0;
  int next_ = 0;
  int unfinished_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gradstab::lab::rl
