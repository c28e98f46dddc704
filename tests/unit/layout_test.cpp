#include "core/base/layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace gradstab {
namespace {

using Sizes = std::vector<std::int64_t>;

Result<Layout> layout_of(const Sizes& sizes, const Sizes& strides) {
  TensorRef tensor;
  tensor.sizes = sizes;
  tensor.strides = strides;
  return make_layout(tensor, "w");
}

/// Offsets that for_each_run visits for elements [begin, begin + count), in order.
std::vector<std::int64_t> visited(const Layout& layout, std::int64_t begin, std::int64_t count) {
  std::vector<std::int64_t> offsets;
  for_each_run(layout, begin, count, [&](std::int64_t offset, std::int64_t length, std::int64_t stride) {
    for (std::int64_t i = 0; i < length; ++i) offsets.push_back(offset + i * stride);
  });
  return offsets;
}

/// Offsets by the definition: every index times the strides.
std::vector<std::int64_t> offsets_by_definition(const Sizes& sizes, const Sizes& strides) {
  std::vector<std::int64_t> offsets = {0};
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    std::vector<std::int64_t> next;
    for (const std::int64_t base : offsets) {
      for (std::int64_t i = 0; i < sizes[d]; ++i) next.push_back(base + i * strides[d]);
    }
    offsets = next;
  }
  return offsets;
}

struct LayoutCase {
  const char* name;
  Sizes sizes;
  Sizes strides;
  int rank;  // after merging
  bool dense;
};

class LayoutTest : public ::testing::TestWithParam<LayoutCase> {};

TEST_P(LayoutTest, VisitsEveryElementOnceAndMergesWhatContinues) {
  const LayoutCase& shape = GetParam();
  const auto layout = layout_of(shape.sizes, shape.strides);
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->rank, shape.rank);
  EXPECT_EQ(layout->dense(), shape.dense);

  auto expected = offsets_by_definition(shape.sizes, shape.strides);
  std::sort(expected.begin(), expected.end());
  const auto count = static_cast<std::int64_t>(expected.size());
  EXPECT_EQ(visited(*layout, 0, count), expected) << "memory is walked forwards";

  for (std::int64_t begin = 0; begin <= count; ++begin) {
    for (std::int64_t end = begin; end <= count; ++end) {
      const std::vector<std::int64_t> piece(expected.begin() + begin, expected.begin() + end);
      ASSERT_EQ(visited(*layout, begin, end - begin), piece) << begin << " to " << end;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LayoutTest,
    ::testing::Values(LayoutCase{"RowMajor", {2, 3, 4}, {12, 4, 1}, 1, true},
                      LayoutCase{"StridesOfSizeOneDoNotMatter", {2, 1, 4}, {4, 999, 1}, 1, true},
                      LayoutCase{"Transposed", {4, 3}, {1, 4}, 1, true},
                      LayoutCase{"ChannelsLast", {2, 3, 4, 5}, {60, 1, 15, 3}, 1, true},
                      LayoutCase{"ColumnsOfAWiderMatrix", {4, 3}, {7, 1}, 2, false},
                      LayoutCase{"EverySecondElement", {6}, {2}, 1, false},
                      LayoutCase{"OneColumn", {5, 1}, {8, 1}, 1, false},
                      LayoutCase{"MergesOnlyTheInnerPair", {3, 2, 4}, {20, 4, 1}, 2, false},
                      LayoutCase{"MergesOnlyTheOuterPair", {3, 2, 4}, {20, 10, 1}, 2, false},
                      LayoutCase{"NothingMerges", {2, 3, 4}, {100, 20, 3}, 3, false},
                      LayoutCase{"PermutedAndPadded", {4, 2, 3}, {1, 30, 8}, 3, false}),
    [](const auto& test) { return test.param.name; });

TEST(LayoutErrorTest, ScalarsAndEmptyTensorsAreDense) {
  const auto scalar = layout_of({}, {});
  ASSERT_TRUE(scalar.ok());
  EXPECT_TRUE(scalar->dense());
  EXPECT_EQ(visited(*scalar, 0, 1), (std::vector<std::int64_t>{0}));
  const auto all_ones = layout_of({1, 1}, {5, 7});
  ASSERT_TRUE(all_ones.ok());
  EXPECT_TRUE(all_ones->dense());
  const auto empty = layout_of({3, 0}, {0, 0});
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(visited(*empty, 0, 0).empty());
}

TEST(LayoutErrorTest, MemoryThatOverlapsItselfIsRefused) {
  struct Overlap {
    Sizes sizes;
    Sizes strides;
  };
  const Overlap cases[] = {{{4}, {0}},              // expanded
                           {{3, 2}, {0, 1}},        // expanded rows
                           {{3, 4}, {2, 1}},        // sliding window
                           {{2, 2, 2}, {4, 2, 2}},  // equal strides
                           {{2, 3}, {3, 2}}};
  for (const Overlap& overlap : cases) {
    const auto layout = layout_of(overlap.sizes, overlap.strides);
    ASSERT_FALSE(layout.ok());
    EXPECT_EQ(layout.status().code(), StatusCode::unsupported);
    EXPECT_NE(layout.status().message().find("gradient of 'w' overlaps itself in memory"), std::string::npos)
        << layout.status().message();
  }
  EXPECT_EQ(layout_of({4}, {0}).status().message(),
            "gradient of 'w' overlaps itself in memory (size 4 with stride 0); pass a contiguous copy");
}

TEST(LayoutErrorTest, NegativeStridesAreRefused) {
  EXPECT_EQ(layout_of({4}, {-1}).status().message(), "gradient of 'w' has a negative stride");
}

TEST(LayoutErrorTest, SizesAndStridesMustCorrespond) {
  const auto layout = layout_of({4, 2}, {1});
  EXPECT_EQ(layout.status().code(), StatusCode::shape_mismatch);
  EXPECT_EQ(layout.status().message(), "gradient of 'w' has 2 sizes but 1 strides");
}

TEST(LayoutErrorTest, MoreThanSixteenDimensionsAreAcceptedWhereTheyAreContiguous) {
  const Sizes sizes(17, 2);
  Sizes strides(17);
  for (std::size_t d = 0; d < 17; ++d) strides[16 - d] = std::int64_t{1} << d;
  EXPECT_TRUE(layout_of(sizes, strides).ok());
  std::reverse(strides.begin(), strides.end());
  EXPECT_EQ(layout_of(sizes, strides).status().message(), "gradient of 'w' has more than 16 dimensions");
}

}  // namespace
}  // namespace gradstab
