// Gradients that share memory are refused, before anything is changed; those that only lie close are not.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using Sizes = std::vector<std::int64_t>;

/// Where one gradient lies in the memory that all share, in elements.
struct View {
  std::size_t begin;
  Sizes sizes;
  Sizes strides = {};
};

class SharedMemoryTest : public ::testing::Test {
 protected:
  /// Parameters "t0", "t1", ... of these views' shapes, and one step over them.
  Status update(std::vector<View> views, DType dtype = DType::float32, Units units = {}) {
    views_ = std::move(views);
    std::vector<Sizes> sizes;
    for (const View& view : views_) sizes.push_back(view.sizes);
    transform_ = stabilize({}, std::move(units));
    transform_.init(testing::parameter_set_of_sizes(sizes)).check();
    return step(dtype);
  }

  /// A step over the present views; an error must leave memory and state as they were.
  Status step(DType dtype = DType::float32) {
    memory_.assign(1000, 1.0f);
    const auto state = transform_.save().value();
    std::vector<TensorRef> refs;
    for (const View& view : views_) {
      std::byte* data = reinterpret_cast<std::byte*>(memory_.data()) + view.begin * size_of(dtype);
      refs.push_back({.data = view.begin == kAbsent ? nullptr : data,
                      .dtype = dtype,
                      .sizes = view.sizes,
                      .strides = view.strides});
    }
    const Status status = transform_.update(refs).status();
    if (!status.ok()) {
      EXPECT_EQ(memory_, std::vector<float>(1000, 1.0f));
      EXPECT_EQ(transform_.save().value(), state);
    }
    return status;
  }

  void expect_refused(const Status& status, const std::string& first, const std::string& second) {
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    EXPECT_EQ(status.message(), "gradients of '" + first + "' and '" + second +
                                    "' share memory and would be transformed twice; register them once");
  }

  static constexpr std::size_t kAbsent = ~std::size_t{0};
  std::vector<View> views_;
  std::vector<float> memory_;
  GradientTransform transform_ = stabilize();
};

TEST_F(SharedMemoryTest, TheSamePointerTwiceIsRefused) {
  const Status status = update({{10, {6}}, {50, {3}}, {10, {6}}});
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_NE(status.message().find("'t0'"), std::string::npos);
  EXPECT_NE(status.message().find("'t2'"), std::string::npos);
  EXPECT_EQ(status.message().find("'t1'"), std::string::npos);
}

TEST_F(SharedMemoryTest, TheSameMemoryInAnotherShapeIsRefused) {
  EXPECT_FALSE(update({{10, {6}}, {10, {2, 3}}}).ok());
  EXPECT_FALSE(update({{10, {6}}, {10, {}}}).ok());
  EXPECT_FALSE(update({{10, {2, 3}}, {10, {3, 2}, {1, 3}}}).ok()) << "a matrix and its transpose";
}

TEST_F(SharedMemoryTest, OneSharedElementIsEnough) {
  expect_refused(update({{10, {6}}, {15, {6}}}), "t0", "t1");
  expect_refused(update({{15, {6}}, {10, {6}}}), "t1", "t0");
  EXPECT_TRUE(update({{10, {6}}, {16, {6}}}).ok()) << "adjacent";
  EXPECT_TRUE(update({{16, {6}}, {10, {6}}, {22, {1}}, {9, {1}}}).ok());
}

TEST_F(SharedMemoryTest, ContainedTensorsAreRefused) {
  expect_refused(update({{10, {100}}, {50, {3}}}), "t0", "t1");
  expect_refused(update({{50, {3}}, {300, {7}}, {10, {100}}}), "t2", "t0");
  expect_refused(update({{10, {3, 4}, {1, 3}}, {21, {1}}}), "t0", "t1");
}

TEST_F(SharedMemoryTest, TheExtentOfATensorIsCountedInItsOwnElements) {
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    EXPECT_FALSE(update({{10, {20}}, {29, {5}}}, dtype).ok()) << to_string(dtype);
    EXPECT_TRUE(update({{10, {20}}, {30, {5}}}, dtype).ok()) << to_string(dtype);
  }
}

TEST_F(SharedMemoryTest, OnePartOfAFloatIsSharedMemory) {
  memory_.assign(100, 1.0f);
  auto* bytes = reinterpret_cast<std::byte*>(memory_.data());
  const Sizes four = {4};
  transform_.init(testing::parameter_set_of_sizes({four, four})).check();
  const TensorRef floats{.data = bytes, .dtype = DType::float32, .sizes = four, .strides = {}};
  TensorRef halves{.data = bytes + 14, .dtype = DType::float16, .sizes = four, .strides = {}};
  EXPECT_FALSE(transform_.update(std::vector<TensorRef>{floats, halves}).ok());
  halves.data = bytes + 16;
  EXPECT_TRUE(transform_.update(std::vector<TensorRef>{floats, halves}).ok());
}

TEST_F(SharedMemoryTest, InterleavedViewsWithoutACommonElementAreWelcome) {
  EXPECT_TRUE(update({{10, {6}, {2}}, {11, {6}, {2}}}).ok()) << "even and odd elements";
  EXPECT_TRUE(update({{10, {4, 3}, {8, 1}}, {13, {4, 5}, {8, 1}}}).ok()) << "columns of one matrix";
  EXPECT_TRUE(update({{10, {4, 3}, {8, 1}}, {13, {5}}}).ok()) << "a vector in a gap";
}

TEST_F(SharedMemoryTest, AStridedViewIntoADenseTensorIsRefused) {
  expect_refused(update({{10, {12}}, {11, {3}, {4}}}), "t0", "t1");
  expect_refused(update({{21, {3}, {4}}, {10, {12}}}), "t1", "t0");
  EXPECT_TRUE(update({{10, {12}}, {22, {3}, {4}}}).ok());
  EXPECT_FALSE(update({{10, {4}, {3}}, {10, {4}, {5}}}).ok()) << "two strided views of one first element";
}

TEST_F(SharedMemoryTest, RowsAreJudgedByTheirWholeTensor) {
  EXPECT_FALSE(update({{10, {4, 6}}, {30, {2}}}, DType::float32, Units::per_row()).ok());
  EXPECT_FALSE(update({{10, {4, 6}}, {10, {4, 6}}}, DType::float32, Units::per_row()).ok());
  EXPECT_TRUE(update({{10, {4, 6}}, {34, {2}}}, DType::float32, Units::per_row()).ok());
  EXPECT_TRUE(update({{10, {4, 3}, {8, 1}}, {13, {4, 5}, {8, 1}}}, DType::float32, Units::per_row()).ok());
}

TEST_F(SharedMemoryTest, AbsentAndEmptyGradientsShareNothing) {
  EXPECT_TRUE(update({{kAbsent, {6}}, {10, {6}}, {kAbsent, {6}}}).ok());
  EXPECT_TRUE(update({{10, {6}}, {10, {0}}, {12, {0, 4}}, {10, {3, 0}}}).ok());
  EXPECT_TRUE(update({{10, {0}}, {10, {6}}}, DType::float32, Units::per_row()).ok());
}

TEST_F(SharedMemoryTest, EveryStepIsJudgedByItsOwnPointers) {
  ASSERT_TRUE(update({{10, {6}}, {30, {6}}, {50, {6}}}).ok());
  views_[1].begin = 70;  // the order in memory changes
  EXPECT_TRUE(step().ok());
  views_[2].begin = 13;
  expect_refused(step(), "t0", "t2");
  views_[0].begin = kAbsent;
  EXPECT_TRUE(step().ok()) << "the one it shares with is gone";
  views_[0].begin = 70;
  EXPECT_FALSE(step().ok());
  views_[0].begin = 90;
  EXPECT_TRUE(step().ok());
  EXPECT_TRUE(step().ok());
}

TEST_F(SharedMemoryTest, ASharedPairAmongThousandsIsFoundAndNamed) {
  std::vector<View> views;
  constexpr std::size_t kCount = 400;
  for (std::size_t t = 0; t < kCount; ++t) views.push_back({2 * ((t * 7919) % kCount), {2}});
  ASSERT_TRUE(update(views).ok());
  views[17].begin = views[311].begin + 1;
  const Status status = update(views);
  expect_refused(status, "t311", "t17");
}

}  // namespace
}  // namespace gradstab
