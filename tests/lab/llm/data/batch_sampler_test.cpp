#include "lab/llm/data/batch_sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "lab/support/permutation.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

// Token i has the value i, so a window shows where it came from.
std::vector<std::uint16_t> counting(std::size_t size) {
  std::vector<std::uint16_t> tokens(size);
  std::iota(tokens.begin(), tokens.end(), std::uint16_t{0});
  return tokens;
}

TokenView view(const std::vector<std::uint16_t>& tokens) {
  return TokenView(std::span<const std::uint16_t>(tokens));
}

std::vector<std::int64_t> batch_of(const BatchSampler& sampler, std::uint64_t index) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(sampler.batch_size() * (sampler.context() + 1)));
  sampler.batch(index, out);
  return out;
}

TEST(PermutedIndexTest, IsAPermutationForEverySizeAndKey) {
  for (std::uint64_t size : {1, 2, 3, 4, 5, 7, 15, 16, 17, 64, 65, 1000, 4097}) {
    for (std::uint64_t key : {0u, 1u, 99u}) {
      std::vector<bool> seen(size, false);
      for (std::uint64_t i = 0; i < size; ++i) {
        const std::uint64_t target = permuted_index(i, size, key);
        ASSERT_LT(target, size);
        ASSERT_FALSE(seen[target]) << size << " " << key;
        seen[target] = true;
      }
    }
  }
}

TEST(PermutedIndexTest, LooksUniform) {
  // Where index 0 goes over many keys: 6 cells, chi-squared with 5 degrees of freedom is below 20.5 with
  // probability 0.999; the keys are fixed, so the test cannot flicker.
  constexpr std::uint64_t kSize = 6;
  constexpr int kKeys = 6000;
  std::vector<int> counts(kSize, 0);
  for (std::uint64_t key = 0; key < kKeys; ++key) ++counts[permuted_index(0, kSize, key)];
  double chi_squared = 0;
  const double expected = static_cast<double>(kKeys) / kSize;
  for (const int count : counts) chi_squared += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi_squared, 20.5);
}

TEST(PermutedIndexTest, ValuesAreFixedForever) {
  std::vector<std::uint64_t> order;
  for (std::uint64_t i = 0; i < 8; ++i) order.push_back(permuted_index(i, 8, 42));
  EXPECT_THAT(order, ::testing::ElementsAre(7, 4, 1, 2, 6, 3, 5, 0));
}

TEST(BatchSamplerTest, EveryWindowOfAnEpochAppearsOnce) {
  const auto tokens = counting(10'007);
  constexpr std::int64_t kContext = 16;
  const BatchSampler sampler = BatchSampler::create(view(tokens), kContext, 4, 7).value();
  EXPECT_EQ(sampler.windows_per_epoch(), 10'006u / kContext - 1);
  std::set<std::uint64_t> offsets;
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    std::set<std::uint64_t> starts;
    for (std::uint64_t i = 0; i < sampler.windows_per_epoch(); ++i)
      starts.insert(sampler.window_start(epoch, i));
    ASSERT_EQ(starts.size(), sampler.windows_per_epoch());
    for (const std::uint64_t start : starts) {
      ASSERT_EQ(start % kContext, *starts.begin() % kContext);
      ASSERT_LE(start + kContext, tokens.size() - 1);
    }
    offsets.insert(*starts.begin() % kContext);
  }
  EXPECT_GT(offsets.size(), 8u);
}

TEST(BatchSamplerTest, RowsAreConsecutiveTokensOfTheirWindow) {
  const auto tokens = counting(1000);
  const BatchSampler sampler = BatchSampler::create(view(tokens), 10, 7, 3).value();
  const std::uint64_t windows = sampler.windows_per_epoch();
  for (std::uint64_t index = 0; index < 60; ++index) {  // several epochs, batches that span two among them
    const auto batch = batch_of(sampler, index);
    for (std::uint64_t row = 0; row < 7; ++row) {
      const std::uint64_t sample = index * 7 + row;
      const std::uint64_t start = sampler.window_start(sample / windows, sample % windows);
      for (std::uint64_t i = 0; i <= 10; ++i) {
        ASSERT_EQ(batch[row * 11 + i], static_cast<std::int64_t>(start + i));
      }
    }
  }
}

TEST(BatchSamplerTest, BatchIsAFunctionOfSeedAndIndex) {
  const auto tokens = counting(5000);
  const BatchSampler first = BatchSampler::create(view(tokens), 8, 16, 1).value();
  const BatchSampler second = BatchSampler::create(view(tokens), 8, 16, 1).value();
  const BatchSampler other = BatchSampler::create(view(tokens), 8, 16, 2).value();
  const auto late = batch_of(first, 1'000'000'000'000);
  for (std::uint64_t index = 0; index < 10; ++index) {
    EXPECT_EQ(batch_of(first, index), batch_of(second, index));
    EXPECT_NE(batch_of(first, index), batch_of(other, index));
    EXPECT_NE(batch_of(first, index), batch_of(first, index + 1));
  }
  EXPECT_EQ(batch_of(second, 1'000'000'000'000), late);
}

TEST(BatchSamplerTest, SmallestCorpusHasOneWindow) {
  const auto tokens = counting(9);
  const BatchSampler sampler = BatchSampler::create(view(tokens), 8, 2, 0).value();
  EXPECT_EQ(sampler.windows_per_epoch(), 1u);
  const auto batch = batch_of(sampler, 5);
  EXPECT_TRUE(std::equal(batch.begin(), batch.begin() + 9, tokens.begin()));
  EXPECT_TRUE(std::equal(batch.begin() + 9, batch.end(), tokens.begin()));
}

TEST(BatchSamplerTest, WindowsStayInsideForEverySmallSize) {
  for (std::size_t size = 5; size < 40; ++size) {
    const auto tokens = counting(size);
    const BatchSampler sampler = BatchSampler::create(view(tokens), 4, 1, size).value();
    for (std::uint64_t epoch = 0; epoch < 30; ++epoch) {
      for (std::uint64_t i = 0; i < sampler.windows_per_epoch(); ++i) {
        ASSERT_LE(sampler.window_start(epoch, i) + 5, size);
      }
    }
  }
}

TEST(BatchSamplerTest, ShortOutputGetsWholeRowsOnly) {
  const auto tokens = counting(100);
  const BatchSampler sampler = BatchSampler::create(view(tokens), 4, 3, 0).value();
  std::vector<std::int64_t> out(9, -1);
  sampler.batch(0, out);
  EXPECT_EQ(out[4], out[0] + 4);
  EXPECT_EQ(out[5], -1);
}

TEST(BatchSamplerTest, BadArgumentsNameTheValue) {
  const auto tokens = counting(8);
  const auto message = [&](std::int64_t context, std::int64_t batch_size) {
    const Status status = BatchSampler::create(view(tokens), context, batch_size, 0).status();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    EXPECT_EQ(SequentialSampler::create(view(tokens), context, batch_size).status().message(),
              status.message());
    return status.message();
  };
  EXPECT_EQ(message(0, 1), "context must be at least 1, got 0");
  EXPECT_EQ(message(4, -2), "batch_size must be at least 1, got -2");
  EXPECT_THAT(message(8, 1),
              HasSubstr("a window needs context + 1 = 9 tokens, but this part of the data has 8"));
}

TEST(SequentialSamplerTest, VisitsWindowsInOrderOnce) {
  const auto tokens = counting(50);
  const SequentialSampler sampler = SequentialSampler::create(view(tokens), 4, 5).value();
  EXPECT_EQ(sampler.windows(), 12u);
  EXPECT_EQ(sampler.batches(), 3u);
  std::vector<std::int64_t> out(5 * 5);
  std::int64_t expected = 0;
  for (const std::int64_t rows : {5, 5, 2}) {
    EXPECT_EQ(sampler.batch(static_cast<std::uint64_t>(expected / 20), out), rows);
    for (std::int64_t row = 0; row < rows; ++row, expected += 4) {
      for (std::int64_t i = 0; i <= 4; ++i)
        EXPECT_EQ(out[static_cast<std::size_t>(row * 5 + i)], expected + i);
    }
  }
  EXPECT_EQ(sampler.batch(3, out), 0);
}

TEST(TokenViewTest, WideAndNarrowAgree) {
  const std::vector<std::uint16_t> narrow = {1, 2, 65535};
  const std::vector<std::uint32_t> wide = {1, 2, 65535};
  std::vector<std::int64_t> a(2), b(2);
  view(narrow).copy_to(1, a);
  TokenView(std::span<const std::uint32_t>(wide)).copy_to(1, b);
  EXPECT_EQ(a, (std::vector<std::int64_t>{2, 65535}));
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace gradstab::lab
