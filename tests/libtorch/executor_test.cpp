// The library's tasks run on LibTorch's own threads, on as many as at::set_num_threads says.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <set>
#include <thread>
#include <vector>

#include "aten/tensor.hpp"

namespace gradstab {
namespace {

/// The number of threads that tasks run on; every task runs once.
std::size_t threads_used(std::size_t tasks) {
  struct Context {
    std::vector<std::thread::id> thread;
    std::vector<int> runs;
  } context{std::vector<std::thread::id>(tasks), std::vector<int>(tasks)};
  torch_executor()->run(
      tasks,
      [](void* opaque, std::size_t task) noexcept {
        auto& [thread, runs] = *static_cast<Context*>(opaque);
        thread[task] = std::this_thread::get_id();
        ++runs[task];
      },
      &context);
  EXPECT_EQ(context.runs, std::vector<int>(tasks, 1));
  return std::set<std::thread::id>(context.thread.begin(), context.thread.end()).size();
}

TEST(TorchExecutorTest, RunsOnAsManyThreadsAsLibTorch) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    EXPECT_EQ(torch_executor()->concurrency(), static_cast<unsigned>(threads));
    EXPECT_EQ(threads_used(8), static_cast<std::size_t>(threads));
  }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace gradstab
