// Gradients given by their stored values alone: the rest of them is zero.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/norm_error.hpp"
#include "support/saved_moments.hpp"
#include "support/strided_tensor.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::norm_of;
using testing::normal_values;
using testing::saved_moments;
using testing::StridedTensor;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr DType kDTypes[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};

TensorRef sparse(StridedTensor& values) {
  TensorRef ref = values.ref();
  ref.sparse_values = true;
  return ref;
}

/// An embedding of 50 rows of 4, of which a step has a few: rows 7, 8 and 31, for example.
class EmbeddingTest : public ::testing::Test {
 protected:
  static constexpr std::size_t kRows = 50;
  static constexpr std::size_t kWidth = 4;

  /// The values of the dense gradient whose given rows are those of `stored`.
  static Values spread(const Values& stored, const std::vector<std::size_t>& rows) {
    Values dense(kRows * kWidth, 0.0);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::size_t j = 0; j < kWidth; ++j) dense[rows[i] * kWidth + j] = stored[i * kWidth + j];
    }
    return dense;
  }

  const ParameterSet parameters_ = testing::parameter_set({{"embed", {kRows, kWidth}}, {"head", {3}}});
};

/// Zeros that are stored and zeros that are not: the reference backend adds in order, so that not a bit may
/// differ. The other backends deal elements out to several sums by their index.
TEST_F(EmbeddingTest, EqualsTheDenseGradientWithZerosElsewhere) {
  const auto make = [] {
    return chain(clip_by_global_norm(GlobalNormOptions::largest_entry(3.0)), stabilize());
  };
  const std::vector<std::vector<std::size_t>> steps = {{7, 8, 31}, {0},          {49, 2, 3, 4, 5, 6},
                                                       {},         {10, 11, 12}, {7, 8, 31}};
  for (const DType dtype : kDTypes) {
    SCOPED_TRACE(to_string(dtype));
    GradientTransform of_values = make();
    GradientTransform of_dense = make();
    ASSERT_TRUE(of_values.init(parameters_, {.backend = "reference"}).ok());
    ASSERT_TRUE(of_dense.init(parameters_, {.backend = "reference"}).ok());
    for (std::uint32_t step = 0; step < steps.size(); ++step) {
      const std::vector<std::size_t>& rows = steps[step];
      StridedTensor stored(dtype, {static_cast<std::int64_t>(rows.size()), kWidth});
      stored.set(normal_values(rows.size() * kWidth, step == 4 ? 30.0 : 0.3, step));
      Gradients dense(parameters_, dtype);
      Gradients head(parameters_, dtype);
      dense.set_all({spread(stored.values(), rows), {1, -2, 0.5}});
      head.set(1, Values{1, -2, 0.5});
      const auto actual = of_values.update(std::vector<TensorRef>{sparse(stored), head.refs()[1]});
      const auto expected = of_dense.update(dense.refs());
      ASSERT_TRUE(actual.ok()) << actual.status().message();
      ASSERT_TRUE(expected.ok());
      EXPECT_EQ(spread(stored.values(), rows), dense.values(0));
      EXPECT_TRUE(stored.gaps_intact());
      EXPECT_EQ(head.bytes(1), dense.bytes(1)) << "the other tensor sees the same global norm";
      EXPECT_EQ(actual->tensors[0].raw_norm, expected->tensors[0].raw_norm);
      EXPECT_EQ(actual->tensors[0].factor, expected->tensors[0].factor);
      EXPECT_EQ(actual->raw_global_norm, expected->raw_global_norm);
      EXPECT_EQ(actual->global_norm, expected->global_norm);
    }
    EXPECT_EQ(of_values.save().value(), of_dense.save().value());
  }
}

TEST_F(EmbeddingTest, EveryBackendMeasuresTheValuesAlone) {
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    GradientTransform transform = stabilize();
    ASSERT_TRUE(transform.init(parameters_, {.backend = std::string(backend->name())}).ok());
    StridedTensor stored(DType::float32, {3, kWidth});
    stored.set(normal_values(stored.count(), 2.0, 1));
    const double norm = norm_of(stored.values());
    Gradients head(parameters_, DType::float32);
    head.set(1, Values{1, 2, 2});
    const auto report = transform.update(std::vector<TensorRef>{sparse(stored), head.refs()[1]});
    ASSERT_TRUE(report.ok());
    EXPECT_NEAR(report->tensors[0].raw_norm, norm, norm * testing::norm_error(12)) << backend->name();
    EXPECT_NEAR(norm_of(stored.values()), 1.0, 0x1p-24 + testing::factor_error(12)) << backend->name();
  }
}

TEST_F(EmbeddingTest, ValuesMayHaveAnyLayout) {
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(parameters_).ok());
  StridedTensor stored(DType::float64, {3, kWidth}, {2, 7});
  stored.set(normal_values(stored.count(), 2.0, 1));
  const Values before = stored.values();
  Gradients head(parameters_, DType::float64);
  head.set_absent(1);
  const auto report = transform.update(std::vector<TensorRef>{sparse(stored), head.refs()[1]});
  ASSERT_TRUE(report.ok());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(stored.values()[i], before[i] * report->tensors[0].factor);
  }
  EXPECT_TRUE(stored.gaps_intact());
}

TEST_F(EmbeddingTest, AsManyValuesAsElementsAreWelcomeAndOneMoreIsNot) {
  GradientTransform transform = stabilize();
  const ParameterSet one = testing::parameter_set({{"embed", {5, 2}}});
  ASSERT_TRUE(transform.init(one).ok());
  StridedTensor all(DType::float32, {10});
  all.set(Values(10, 1.0));
  TensorRef ref = sparse(all);
  EXPECT_TRUE(transform.update({&ref, 1}).ok());
  const auto state = transform.save().value();
  StridedTensor too_many(DType::float32, {11});
  too_many.set(Values(11, 1.0));
  ref = sparse(too_many);
  const Status status = transform.update({&ref, 1}).status();
  EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
  EXPECT_EQ(
      status.message(),
      "gradient of 'embed' has 11 sparse values, more than the 10 elements of [5, 2]; coalesce it first");
  EXPECT_EQ(too_many.values(), Values(11, 1.0));
  EXPECT_EQ(transform.save().value(), state);
}

TEST_F(EmbeddingTest, WithoutTheMarkTheShapeMustBeTheParameters) {
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(testing::parameter_set({{"embed", {5, 2}}})).ok());
  StridedTensor values(DType::float32, {3, 2});
  values.set(Values(6, 1.0));
  const TensorRef ref = values.ref();
  EXPECT_EQ(transform.update({&ref, 1}).status().message(),
            "gradient of 'embed' has shape [3, 2], expected [5, 2]");
}

TEST_F(EmbeddingTest, NoStoredValuesAreAZeroGradientAndNoneAtAllIsAbsent) {
  GradientTransform transform = stabilize();
  ASSERT_TRUE(transform.init(testing::parameter_set({{"embed", {5, 2}}})).ok());
  StridedTensor nothing(DType::float32, {0, 2});
  TensorRef ref = sparse(nothing);
  const auto report = transform.update({&ref, 1});
  ASSERT_TRUE(report.ok());
  EXPECT_TRUE(report->tensors[0].present);
  EXPECT_EQ(report->tensors[0].raw_norm, 0.0);
  EXPECT_TRUE(nothing.gaps_intact()) << "the pointer is not followed";
  EXPECT_EQ(saved_moments(transform)[0], NormMoments{.zeros = 1});
  ref.data = nullptr;
  EXPECT_FALSE(transform.update({&ref, 1}).value().tensors[0].present);
  EXPECT_EQ(saved_moments(transform)[0], NormMoments{.zeros = 1});
}

TEST_F(EmbeddingTest, AMethodPerRowRefusesValuesOfAMatrixAndTakesThoseOfAVector) {
  const ParameterSet set = testing::parameter_set({{"embed", {5, 2}}, {"bias", {6}}});
  GradientTransform transform = chain(stabilize(), record_norms(4.0, Units::per_row()));
  ASSERT_TRUE(transform.init(set).ok());
  StridedTensor embed(DType::float32, {2, 2});
  StridedTensor bias(DType::float32, {2});
  embed.set(Values(4, 1.0));
  bias.set(Values{3, 4});
  const auto state = transform.save().value();
  const Status status = transform.update(std::vector<TensorRef>{sparse(embed), sparse(bias)}).status();
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_EQ(status.message(),
            "gradient of 'embed' is sparse, but a method works per row and cannot tell its rows");
  EXPECT_EQ(embed.values(), Values(4, 1.0));
  EXPECT_EQ(transform.save().value(), state);

  TensorRef absent = sparse(embed);
  absent.data = nullptr;
  const auto report = transform.update(std::vector<TensorRef>{absent, sparse(bias)});
  ASSERT_TRUE(report.ok()) << report.status().message();
  EXPECT_EQ(report->tensors[1].raw_norm, 5.0);
  EXPECT_NEAR(bias.values()[1], 0.8, 0x1p-24);
}

TEST_F(EmbeddingTest, AMemberOfAGroupMayBeSparse) {
  GradientTransform transform = stabilize({}, Units::whole_model());
  ASSERT_TRUE(transform.init(parameters_).ok());
  StridedTensor stored(DType::float64, {1, kWidth});
  stored.set(Values{1, 2, 2, 4});
  Gradients head(parameters_, DType::float64);
  head.set(1, Values{0, 12, 0});
  const auto report = transform.update(std::vector<TensorRef>{sparse(stored), head.refs()[1]});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->tensors[0].factor, 1.0 / 13.0);
  EXPECT_EQ(stored.values()[3], 4.0 * (1.0 / 13.0));
}

TEST_F(EmbeddingTest, NonFiniteValuesFollowThePolicy) {
  const ParameterSet one = testing::parameter_set({{"embed", {5, 2}}});
  const auto run = [&](NonFinitePolicy policy, double bad, StridedTensor& values) {
    GradientTransform transform = stabilize();
    EXPECT_TRUE(transform.init(one, {.nonfinite = policy}).ok());
    values.set(Values{1, bad, 3, 4});
    const TensorRef ref = sparse(values);
    return transform.update({&ref, 1}).status();
  };
  for (const double bad : {kNaN, kInf, -kInf}) {
    StridedTensor values(DType::float32, {2, 2}, {3, 1});
    EXPECT_TRUE(run(NonFinitePolicy::skip_tensor, bad, values).ok());
    EXPECT_EQ(values.values(), Values(4, 0.0));
    EXPECT_TRUE(values.gaps_intact());
    EXPECT_EQ(run(NonFinitePolicy::raise, bad, values).message(), "gradient holds NaN or Inf: 'embed'");
    EXPECT_EQ(values.values()[3], 4.0);
    EXPECT_TRUE(run(NonFinitePolicy::pass_through, bad, values).ok());
    EXPECT_EQ(values.values()[3], 4.0);
  }
}

/// The step's plan is cut for the whole parameter; fewer values end within any of its blocks.
TEST(SparseBlocksTest, ValuesMayEndInAnyBlock) {
  constexpr std::int64_t kElements = 200001;
  GradientTransform transform = stabilize();
  const ParameterSet one = testing::parameter_set_of_sizes({{kElements}});
  ASSERT_TRUE(transform.init(one, {.executor = thread_pool(2).value()}).ok());
  for (const std::int64_t count : {1, 65535, 65536, 65537, 131072, 131073, 199999, 200001, 2}) {
    std::vector<float> memory(static_cast<std::size_t>(kElements) + 1, 7.0f);
    std::fill_n(memory.begin(), count, 1.0f);
    const std::vector<std::int64_t> sizes = {count};
    const TensorRef ref{
        .data = memory.data(), .dtype = DType::float32, .sizes = sizes, .strides = {}, .sparse_values = true};
    const auto report = transform.update({&ref, 1});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->tensors[0].raw_norm, std::sqrt(static_cast<double>(count)));
    const auto scaled = static_cast<float>(report->tensors[0].factor);
    const auto end = memory.begin() + count;
    EXPECT_EQ(std::count(memory.begin(), end, scaled), count);
    EXPECT_EQ(std::count(end, memory.end(), 7.0f), memory.end() - end) << "nothing behind the values changed";
  }
}

}  // namespace
}  // namespace gradstab
