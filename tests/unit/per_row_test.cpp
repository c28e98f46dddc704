// Methods that work per row.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/norm_error.hpp"
#include "support/saved_moments.hpp"
#include "support/strided_tensor.hpp"

namespace gradstab {
namespace {

using testing::Gradients;
using testing::kRoundoff;
using testing::norm_error;
using testing::norm_of;
using testing::normal_values;
using testing::saved_moments;
using testing::StridedTensor;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr DType kDTypes[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};

struct Shape {
  const char* name;
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
};

class PerRowTest : public ::testing::TestWithParam<Shape> {};

/// The rows of a tensor are given, as tensors of their own, to a transform that works per tensor. Everything
/// must agree bit for bit: the memory, gaps included, and the reports.
TEST_P(PerRowTest, EqualsATransformPerTensorOnEachRow) {
  const Shape& shape = GetParam();
  for (const DType dtype : kDTypes) {
    SCOPED_TRACE(to_string(dtype));
    StridedTensor whole(dtype, shape.sizes, shape.strides);
    StridedTensor apart(dtype, shape.sizes, shape.strides);
    GradientTransform per_row = stabilize({}, Units::per_row());
    ASSERT_TRUE(per_row.init(testing::parameter_set_of_sizes({shape.sizes})).ok());
    std::vector<std::vector<std::int64_t>> row_sizes;
    for (std::size_t row = 0; row < apart.rows(); ++row) {
      const TensorRef ref = apart.row(row);
      row_sizes.emplace_back(ref.sizes.begin(), ref.sizes.end());
    }
    GradientTransform per_tensor = stabilize();
    ASSERT_TRUE(per_tensor.init(testing::parameter_set_of_sizes(row_sizes)).ok());
    std::size_t spikes = 0;
    for (std::uint32_t step = 1; step <= 13; ++step) {
      Values values = normal_values(whole.count(), step == 12 ? 50.0 : 0.5, step);
      if (step == 5) std::fill_n(values.begin(), whole.count() / std::max<std::size_t>(1, whole.rows()), 0.0);
      whole.set(values);
      apart.set(values);
      const TensorRef ref = whole.ref();
      std::vector<TensorRef> rows;
      for (std::size_t row = 0; row < apart.rows(); ++row) rows.push_back(apart.row(row));
      const auto actual = per_row.update({&ref, 1});
      const auto expected = per_tensor.update(rows);
      ASSERT_TRUE(actual.ok()) << actual.status().message();
      ASSERT_TRUE(expected.ok()) << expected.status().message();
      ASSERT_EQ(actual->rows.size(), expected->tensors.size());
      for (std::size_t row = 0; row < rows.size(); ++row) {
        EXPECT_EQ(actual->rows[row].raw_norm, expected->tensors[row].raw_norm) << "row " << row;
        EXPECT_EQ(actual->rows[row].factor, expected->tensors[row].factor) << "row " << row;
        EXPECT_EQ(actual->rows[row].spike, expected->tensors[row].spike) << "row " << row;
        EXPECT_TRUE(actual->rows[row].present);
      }
      EXPECT_EQ(whole.memory(), apart.memory()) << "step " << step;
      EXPECT_TRUE(whole.gaps_intact());
      EXPECT_EQ(actual->raw_global_norm, expected->raw_global_norm);
      spikes += expected->spikes;
    }
    EXPECT_EQ(saved_moments(per_row), saved_moments(per_tensor));
    EXPECT_EQ(spikes > 0, whole.count() > 0) << "step 12 is a spike";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PerRowTest,
    ::testing::Values(Shape{"Scalar", {}, {}}, Shape{"Vector", {9}, {}}, Shape{"SpacedVector", {9}, {3}},
                      Shape{"Matrix", {4, 5}, {}}, Shape{"MatrixColumnMajor", {4, 5}, {1, 4}},
                      Shape{"MatrixPadded", {4, 5}, {8, 1}},
                      Shape{"MatrixEverySecondColumn", {4, 5}, {10, 2}},
                      Shape{"MatrixColumnMajorPadded", {4, 5}, {2, 9}}, Shape{"OneRow", {1, 6}, {77, 1}},
                      Shape{"OneColumn", {6, 1}, {3, 1}}, Shape{"RowsLongerThanABlock", {3, 70001}, {}},
                      Shape{"ManyRows", {3000, 3}, {}}, Shape{"ThreeAxes", {3, 4, 5}, {}},
                      Shape{"ThreeAxesFirstInnermost", {3, 4, 5}, {1, 3, 12}},
                      Shape{"ThreeAxesFirstBetween", {3, 4, 5}, {5, 15, 1}},
                      Shape{"ThreeAxesPaddedAndReversed", {3, 4, 5}, {2, 7, 29}},
                      Shape{"FourAxes", {2, 3, 4, 5}, {}},
                      Shape{"FourAxesChannelsLast", {2, 3, 4, 5}, {60, 1, 15, 3}},
                      Shape{"FourAxesFirstInside", {2, 3, 4, 5}, {20, 40, 5, 1}},
                      Shape{"RowsWithoutElements", {3, 0}, {}}, Shape{"NoRows", {0, 4}, {}}),
    [](const auto& test) { return test.param.name; });

TEST(PerRowNumbersTest, ARowIsAnIndexOfAxisZeroWithANormOfItsOwn) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2, 2}});
  GradientTransform transform = stabilize({}, Units::per_row());
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set(0, Values{3, 4, 6000, 8000});
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->rows[0].raw_norm, 5.0);
  EXPECT_EQ(report->rows[1].raw_norm, 10000.0);
  const Values out = gradients.values(0);
  for (const std::size_t row : {0u, 1u}) {
    EXPECT_NEAR(out[2 * row], 0.6, 4 * kRoundoff) << "the first stabilized norm is 1";
    EXPECT_NEAR(out[2 * row + 1], 0.8, 4 * kRoundoff);
  }
}

/// A NaN in one row takes the whole tensor away under `skip_tensor`, and only its row under `pass_through`.
TEST(PerRowNumbersTest, ANaNInOneRowFollowsThePolicy) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{3, 2}, {2}});
  const std::vector<Values> bad = {{3, 4, kNaN, 1, 6, 8}, {5, 0}};
  Gradients gradients(parameters, DType::float64);
  const auto run = [&](NonFinitePolicy policy) {
    GradientTransform transform = stabilize({}, Units::per_row());
    EXPECT_TRUE(transform.init(parameters, {.nonfinite = policy}).ok());
    gradients.set_all(bad);
    const auto report = transform.update(gradients.refs());
    EXPECT_TRUE(report.ok());
    EXPECT_EQ(report->nonfinite, 1u);
    EXPECT_FALSE(report->tensors[0].finite);
    EXPECT_TRUE(std::isnan(report->tensors[0].raw_norm));
    EXPECT_EQ(report->raw_global_norm, 5.0) << "the tensor that is finite";
    return transform;
  };

  const GradientTransform skipping = run(NonFinitePolicy::skip_tensor);
  EXPECT_EQ(gradients.values(0), Values(6, 0.0));
  EXPECT_EQ(gradients.values(1), (Values{1, 0}));
  for (const std::size_t row : {0u, 1u, 2u}) {
    EXPECT_EQ(saved_moments(skipping)[row], NormMoments{.nonfinite = 1}) << row;
  }
  EXPECT_EQ(saved_moments(skipping)[3].step, 1);

  const GradientTransform passing = run(NonFinitePolicy::pass_through);
  EXPECT_NEAR(gradients.values(0)[0], 0.6, 4 * kRoundoff);
  EXPECT_TRUE(std::isnan(gradients.values(0)[2]));
  EXPECT_EQ(gradients.values(0)[3], 1.0) << "left as it was";
  EXPECT_NEAR(gradients.values(0)[5], 0.8, 4 * kRoundoff);
  EXPECT_EQ(saved_moments(passing)[0].step, 1);
  EXPECT_EQ(saved_moments(passing)[1], NormMoments{.nonfinite = 1});
  EXPECT_EQ(saved_moments(passing)[2].step, 1);

  GradientTransform raising = stabilize({}, Units::per_row());
  ASSERT_TRUE(raising.init(parameters, {.nonfinite = NonFinitePolicy::raise}).ok());
  gradients.set_all(bad);
  EXPECT_EQ(raising.update(gradients.refs()).status().message(), "gradient holds NaN or Inf: 't0'");
  EXPECT_EQ(gradients.values(0)[0], 3.0);
}

TEST(PerRowReportTest, RowsAndFirstRowDescribeEveryTensor) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{4}, {2, 3}, {0, 2}, {}, {3, 1}});
  GradientTransform transform = chain(clip_by_global_norm(2.0), record_norms(4.0, Units::per_row()));
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  gradients.set_all({{1, 1, 1, 1}, {3, 4, 0, 0, 0, 12}, {}, {2}, {1, 2, 2}});
  gradients.mutable_refs()[2].data = &gradients;  // no elements are there to be touched
  gradients.set_absent(3);
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(std::vector<std::size_t>(report->first_row.begin(), report->first_row.end()),
            (std::vector<std::size_t>{0, 1, 3, 3, 4, 7}));
  ASSERT_EQ(report->rows.size(), 7u);
  const double raw[] = {2, 5, 12, 0, 1, 2, 2};
  for (std::size_t row = 0; row < 7; ++row) {
    EXPECT_EQ(report->rows[row].raw_norm, raw[row]) << row;
    EXPECT_EQ(report->rows[row].present, row != 3) << row;
  }
  ASSERT_EQ(report->tensors.size(), 5u);
  EXPECT_EQ(report->tensors[1].raw_norm, 13.0) << "all rows together";
  EXPECT_EQ(report->tensors[4].raw_norm, 3.0);
  EXPECT_TRUE(report->tensors[2].present);
  EXPECT_FALSE(report->tensors[3].present);
  const double global = std::sqrt(4.0 + 169.0 + 9.0);
  EXPECT_NEAR(report->raw_global_norm, global, global * norm_error(7));
  EXPECT_NEAR(report->global_norm, 2.0, 2.0 * 1e-6) << "clipped, up to the clip's epsilon";
  EXPECT_NEAR(report->tensors[1].factor, 2.0 / (global + 1e-6), 8 * kRoundoff);
}

TEST(PerRowReportTest, ATensorsFactorIsTheQuotientOfItsNorms) {
  const ParameterSet parameters = testing::parameter_set_of_sizes({{2, 2}});
  GradientTransform transform = stabilize({}, Units::per_row());
  ASSERT_TRUE(transform.init(parameters).ok());
  Gradients gradients(parameters, DType::float64);
  for (int step = 1; step <= 12; ++step) {
    gradients.set(0, Values{3, 4, step == 12 ? 50.0 : 5.0, 0});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    const TensorReport& tensor = report->tensors[0];
    const double after = norm_of(gradients.values(0));
    EXPECT_NEAR(tensor.norm(), after, 16 * kRoundoff * after);
    EXPECT_NEAR(tensor.factor, after / tensor.raw_norm, 16 * kRoundoff);
    EXPECT_EQ(tensor.spike, step == 12) << "a spike in one row is one of the tensor";
    EXPECT_EQ(report->spikes, step == 12 ? 1u : 0u);
    EXPECT_EQ(report->rows[0].spike, false);
  }
}

TEST(PerRowReportTest, WithoutAMethodPerRowThereAreNoRows) {
  for (Units units : {Units::per_tensor(), Units::whole_model(), Units::by_name({{"all", {"*"}}})}) {
    const ParameterSet parameters = testing::parameter_set_of_sizes({{2, 2}});
    GradientTransform transform = stabilize({}, units);
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    gradients.set(0, Values{1, 2, 3, 4});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    EXPECT_TRUE(report->rows.empty());
    EXPECT_TRUE(report->first_row.empty());
  }
}

}  // namespace
}  // namespace gradstab
