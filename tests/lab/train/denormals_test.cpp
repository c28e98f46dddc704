#include "lab/train/denormals.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace gradstab::lab {
namespace {

/// Half of the smallest normal float, as each of LibTorch's threads computes it.
std::vector<float> halves() {
  std::vector<float> results(static_cast<std::size_t>(at::get_num_threads()));
  at::parallel_for(0, at::get_num_threads(), 1, [&](std::int64_t begin, std::int64_t end) {
    volatile float smallest = std::numeric_limits<float>::min();
    for (std::int64_t i = begin; i < end; ++i) results[static_cast<std::size_t>(i)] = smallest * 0.5f;
  });
  return results;
}

class ThreadCount {
 public:
  explicit ThreadCount(int threads) { at::set_num_threads(threads); }
  ~ThreadCount() { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST(FlushDenormals, HoldsInEveryThreadAndEnds) {
  if (!at::Context::setFlushDenormal(false)) GTEST_SKIP() << "this processor cannot flush denormals";
  const ThreadCount threads(3);
  const std::vector<float> kept(3, std::numeric_limits<float>::min() / 2);
  EXPECT_EQ(halves(), kept);
  {
    const FlushDenormals flushed;
    EXPECT_EQ(halves(), std::vector<float>(3, 0.0f));
  }
  EXPECT_EQ(halves(), kept);
}

}  // namespace
}  // namespace gradstab::lab
