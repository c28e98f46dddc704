#include "lab/vision/batch_queue.hpp"

#include <algorithm>
#include <utility>

namespace gradstab::lab::vision {
namespace {

/// Samples that a thread takes at once: few enough for all threads to have some of a batch.
constexpr std::int64_t kShare = 16;

}  // namespace

BatchQueue::BatchQueue(const BatchMaker& maker, int workers, int prefetch)
    : maker_(maker), ahead_(static_cast<std::size_t>(prefetch)) {
  try {
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {
    stop();
    throw;
  }
}

BatchQueue::~BatchQueue() {
  stop();
}

void BatchQueue::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

BatchQueue::Share BatchQueue::next_share() {
  for (const std::size_t lane : {asked_, 1 - asked_})
    for (const std::shared_ptr<Slot>& slot : lanes_[lane])
      if (slot->taken < slot->samples) {
        const std::int64_t first = slot->taken;
        slot->taken = std::min(first + kShare, slot->samples);
        return {slot, first, slot->taken};
      }
  return {};
}

void BatchQueue::work() {
  Workspace workspace;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    Share share = next_share();
    if (share.slot == nullptr) {
      work_.wait(lock);
      continue;
    }
    Slot& slot = *share.slot;
    lock.unlock();
    std::exception_ptr failure;
    try {
      for (std::int64_t i = share.first; i < share.end; ++i) maker_.make(i, workspace, slot.making);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) slot.failure = failure;
    slot.made += share.end - share.first;
    if (slot.made < slot.samples) continue;
    lock.unlock();
    try {
      maker_.finish(workspace, slot.making);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) slot.failure = failure;
    slot.finished = true;
    ready_.notify_all();
  }
}

void BatchQueue::push(Lane& lane, const BatchRequest& request) {
  auto slot = std::make_shared<Slot>();
  if (!spare_.empty()) {
    slot->making = std::move(spare_.back());
    spare_.pop_back();
  }
  maker_.begin(request, slot->making);
  slot->samples = maker_.samples(request);
  lane.push_back(std::move(slot));
}

void BatchQueue::fill(Lane& lane) {
  while (lane.size() <= ahead_) {
    const auto next = maker_.after(lane.back()->making.request, stride_);
    if (!next) return;
    push(lane, *next);
  }
}

void BatchQueue::take(const BatchRequest& request, Making& making) {
  std::unique_lock lock(mutex_);
  asked_ = request.training ? 0 : 1;
  if (request.training) {
    // Where several processes train, each asks for every so-manieth batch.
    if (last_ && request.index > *last_) stride_ = request.index - *last_;
    last_ = request.index;
  }
  Lane& lane = lanes_[asked_];
  // What nobody asks for is dropped; a thread that is at it keeps its slot alive.
  while (!lane.empty() && lane.front()->making.request != request) lane.pop_front();
  if (lane.empty()) push(lane, request);
  fill(lane);
  work_.notify_all();
  const std::shared_ptr<Slot> slot = lane.front();
  ready_.wait(lock, [&] { return slot->finished; });
  lane.pop_front();
  if (slot->failure) std::rethrow_exception(slot->failure);
  std::swap(making, slot->making);
  spare_.push_back(std::move(slot->making));
  if (spare_.size() > ahead_) spare_.pop_back();
  // The place that is free now, so that threads go on while the caller trains.
  if (!lane.empty()) fill(lane);
  work_.notify_all();
}

}  // namespace gradstab::lab::vision
