#include "lab/rl/environments/thread_team.hpp"

namespace gradstab::lab::rl {

ThreadTeam::ThreadTeam(int threads) {
  for (int i = 1; i < threads; ++i) threads_.emplace_back([this] { wait_for_work(); });
}

ThreadTeam::~ThreadTeam() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  begun_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::take_pieces(std::unique_lock<std::mutex>& lock) {
  while (next_ < count_) {
    const int piece = next_++;
    const std::function<void(int)>& work = *work_;
    lock.unlock();
    work(piece);
    lock.lock();
    if (--unfinished_ == 0) done_.notify_one();
  }
}

void ThreadTeam::wait_for_work() {
  std::unique_lock lock(mutex_);
  while (true) {
    begun_.wait(lock, [this] { return ending_ || next_ < count_; });
    if (ending_) return;
    take_pieces(lock);
  }
}

void ThreadTeam::run(int count, const std::function<void(int)>& work) {
  if (threads_.empty() || count <= 1) {
    for (int i = 0; i < count; ++i) work(i);
    return;
  }
  std::unique_lock lock(mutex_);
  work_ = &work;
  count_ = unfinished_ = count;
  next_ = 0;
  begun_.notify_all();
  take_pieces(lock);
  done_.wait(lock, [this] { return unfinished_ == 0; });
}

}  // namespace gradstab::lab::rl
