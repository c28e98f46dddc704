// How often a step reads and writes the gradients, counted through a backend.
#include <gtest/gtest.h>

#include "core/transform/transform_access.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::Values;

/// The reference backend, with a count of the elements that each kernel was given.
class CountingBackend final : public Backend {
 public:
  struct Counts {
    std::size_t squared_norm = 0, max_abs = 0, scale = 0, clamp = 0;
    bool operator==(const Counts&) const = default;
  };

  std::string_view name() const noexcept override { return "counting"; }
  bool supported() const noexcept override { return true; }
  double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept override {
    counts.squared_norm += count;
    return reference_.squared_norm(data, dtype, count);
  }
  double max_abs(const void* data, DType dtype, std::size_t count) const noexcept override {
    counts.max_abs += count;
    return reference_.max_abs(data, dtype, count);
  }
  void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept override {
    counts.scale += count;
    reference_.scale(data, dtype, count, factor);
  }
  void clamp(void* data, DType dtype, std::size_t count, double factor,
             double limit) const noexcept override {
    counts.clamp += count;
    reference_.clamp(data, dtype, count, factor, limit);
  }
  void update(const UpdateBlock& block, const UpdateScalars& scalars) const noexcept override {
    reference_.update(block, scalars);
  }

  mutable Counts counts;

 private:
  const Backend& reference_ = **find_backend("reference");
};

class MeasureOnceTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kElements = 300 * 70 + 3 + 100000;

  /// Counts of one step in which every tensor is scaled.
  CountingBackend::Counts counts_of(GradientTransform transform) {
    EXPECT_TRUE(transform.init(parameters_).ok());
    const CountingBackend backend;
    TransformAccess::use(transform, backend);
    for (std::size_t t = 0; t < parameters_.size(); ++t) {
      const auto count = static_cast<std::size_t>(element_count(parameters_[t].sizes));
      gradients_.set(t, Values(count, 3.0));
      values_.set(t, Values(count, 0.5));
    }
    const auto report = transform.update(gradients_.refs(), values_.refs());
    EXPECT_TRUE(report.ok()) << report.status().message();
    return backend.counts;
  }

  const ParameterSet parameters_ = testing::parameter_set_of_sizes({{300, 70}, {3}, {100000}});
  Gradients gradients_{parameters_, DType::float32};
  Gradients values_{parameters_, DType::float32};
};

TEST_F(MeasureOnceTest, AChainOfNormBasedLinksReadsOnceAndWritesOnce) {
  const CountingBackend::Counts expected{.squared_norm = kElements, .scale = kElements};
  EXPECT_EQ(counts_of(stabilize()), expected);
  EXPECT_EQ(
      counts_of(chain(record_norms(), clip_by_global_norm(1.0), record_norms(), stabilize(), normalize(),
                      record_norms(), scale_by(0.5), stabilize({}, Units::per_row()), record_norms())),
      expected);
}

TEST_F(MeasureOnceTest, TheLargestEntryIsAskedForOnceByHoweverManyLinks) {
  const CountingBackend::Counts expected{.squared_norm = kElements, .max_abs = kElements, .scale = kElements};
  EXPECT_EQ(counts_of(chain(clip_by_global_norm(GlobalNormOptions::largest_entry(1.0)), stabilize(),
                            clip_by_global_norm(GlobalNormOptions::largest_entry(0.1)))),
            expected);
}

TEST_F(MeasureOnceTest, AnElementWiseLinkAddsOnePassThatAlsoMeasures) {
  const CountingBackend::Counts clipped{.squared_norm = 2 * kElements, .clamp = kElements};
  EXPECT_EQ(counts_of(clip_by_value(0.1)), clipped);
  // The factor pending before it is applied in its own pass.
  const CountingBackend::Counts between{
      .squared_norm = 2 * kElements, .scale = kElements, .clamp = kElements};
  EXPECT_EQ(counts_of(chain(stabilize(), record_norms(), clip_by_value(0.1), record_norms(), normalize())),
            between);
  const CountingBackend::Counts two{.squared_norm = 3 * kElements, .clamp = 2 * kElements};
  EXPECT_EQ(counts_of(chain(stabilize(), clip_by_value(0.1), clip_by_value(0.05))), two);
}

}  // namespace
}  // namespace gradstab
