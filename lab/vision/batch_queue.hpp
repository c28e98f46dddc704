// Batches made ahead of time by threads, in the order in which they are probably asked for.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "lab/vision/batch_maker.hpp"

namespace gradstab::lab::vision {

/// Threads take some samples of the first unfinished batch at a time; the lock is held while they take them
/// and while they hand them in.
class BatchQueue {
 public:
  /// `maker` outlives it. Throws std::system_error where a thread cannot be started.
  BatchQueue(const BatchMaker& maker, int workers, int prefetch);
  BatchQueue(const BatchQueue&) = delete;
  BatchQueue& operator=(const BatchQueue&) = delete;
  ~BatchQueue();

  /// Puts the batch into `making`, whose memory is used again. Throws what making it has thrown, for example
  /// std::bad_alloc.
  void take(const BatchRequest& request, Making& making);

 private:
  struct Slot {
    Making making;
    std::int64_t samples = 0, taken = 0, made = 0;
    bool finished = false;
    std::exception_ptr failure;
  };
  using Lane = std::deque<std::shared_ptr<Slot>>;

  void work();
  void stop();
  /// Some samples to make: [first, end) of a slot; without one where nothing is to do.
  struct Share {
    std::shared_ptr<Slot> slot;
    std::int64_t first = 0, end = 0;
  };
  Share next_share();
  void push(Lane& lane, const BatchRequest& request);
  void fill(Lane& lane);

  const BatchMaker& maker_;
  const std::size_t ahead_;
  std::mutex mutex_;
  std::condition_variable work_, ready_;
  // Training and evaluation wait apart: evaluating in between does not throw away what training goes on with.
  std::array<Lane, 2> lanes_;
  std::optional<std::uint64_t> last_;  // training batch that was asked for
  std::uint64_t stride_ = 1;           // from one to the next
  std::size_t asked_ = 0;              // the lane that somebody waits for
  std::vector<Making> spare_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gradstab::lab::vision
