#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "gradstab/backend.hpp"

namespace gradstab {
namespace {

std::vector<std::shared_ptr<Executor>> executors() {
  std::vector<std::shared_ptr<Executor>> list = {serial_executor()};
  for (const unsigned threads : {1u, 2u, 3u, 8u}) list.push_back(thread_pool(threads).value());
  return list;
}

struct Counters {
  explicit Counters(std::size_t count) : calls(count) {}
  std::vector<std::atomic<int>> calls;
};

void count_call(void* context, std::size_t index) noexcept {
  static_cast<Counters*>(context)->calls[index].fetch_add(1);
}

TEST(ExecutorTest, EveryIndexRunsExactlyOnce) {
  for (const auto& executor : executors()) {
    for (const std::size_t count : {0u, 1u, 2u, 7u, 1000u}) {
      Counters counters(count);
      executor->run(count, count_call, &counters);
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(counters.calls[i].load(), 1) << i << " of " << count << ", " << executor->concurrency();
      }
    }
  }
}

TEST(ExecutorTest, ManySmallJobsInARowAreAllDoneWhenRunReturns) {
  for (const auto& executor : executors()) {
    std::vector<int> plain(3);  // not atomic: run must order the tasks before what follows it
    for (int job = 0; job < 5000; ++job) {
      executor->run(
          3,
          [](void* context, std::size_t i) noexcept { (*static_cast<std::vector<int>*>(context))[i] += 1; },
          &plain);
    }
    EXPECT_EQ(plain, (std::vector<int>{5000, 5000, 5000}));
  }
}

TEST(ExecutorTest, ConcurrencyCountsTheCallingThread) {
  EXPECT_EQ(serial_executor()->concurrency(), 1u);
  EXPECT_EQ(thread_pool(1).value()->concurrency(), 1u);
  EXPECT_EQ(thread_pool(3).value()->concurrency(), 3u);
}

TEST(ExecutorTest, APoolOfNoThreadsIsRefused) {
  const auto pool = thread_pool(0);
  ASSERT_FALSE(pool.ok());
  EXPECT_EQ(pool.status().code(), StatusCode::invalid_argument);
  EXPECT_EQ(pool.status().message(), "threads must be at least 1, got 0");
}

TEST(ExecutorTest, APoolThatNeverWorkedCanBeDestroyed) {
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(thread_pool(4).ok());
}

}  // namespace
}  // namespace gradstab
