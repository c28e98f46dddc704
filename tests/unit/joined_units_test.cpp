// Units of several tensors: named groups, and the whole model.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/decide.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"
#include "support/norm_error.hpp"
#include "support/saved_moments.hpp"

namespace gradstab {
namespace {

using testing::factor_error;
using testing::Gradients;
using testing::kRoundoff;
using testing::norm_error;
using testing::norm_of;
using testing::normal_values;
using testing::saved_moments;
using testing::Values;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr DType kDTypes[] = {DType::float32, DType::float64, DType::float16, DType::bfloat16};

/// One unit of three tensors among others, by name or as the whole model.
class JoinedUnitTest : public ::testing::TestWithParam<Granularity> {
 protected:
  /// Members of the unit under test; the group leaves the two others alone.
  static constexpr std::size_t kMembers[] = {0, 2, 3};
  static constexpr std::size_t kJoinedCount = 5 + 6 + 7;

  bool group() const { return GetParam() == Granularity::group; }
  Units units() const { return group() ? Units::by_name({{"joined", {"in.*"}}}) : Units::whole_model(); }
  ParameterSet parameters() const {
    if (!group())
      return testing::parameter_set({{"in.a", {5}}, {"none", {0}}, {"in.b", {2, 3}}, {"in.c", {7}}});
    return testing::parameter_set(
        {{"in.a", {5}}, {"out.x", {4}}, {"in.b", {2, 3}}, {"in.c", {7}}, {"out.y", {}}});
  }
  GradientTransform made(GradientTransform transform, NonFinitePolicy policy = NonFinitePolicy::skip_tensor) {
    EXPECT_TRUE(transform.init(parameters(), {.nonfinite = policy}).ok());
    return transform;
  }
  static void fill(Gradients& gradients, const ParameterSet& set, std::uint32_t step, double deviation) {
    for (std::size_t t = 0; t < set.size(); ++t) {
      const auto count = static_cast<std::size_t>(element_count(set[t].sizes));
      gradients.set(t, normal_values(count, deviation * (1.0 + static_cast<double>(t)),
                                     100 * step + static_cast<std::uint32_t>(t)));
    }
    static double nothing;
    for (TensorRef& ref : gradients.mutable_refs()) {
      if (element_count(ref.sizes) == 0) ref.data = &nothing;
    }
  }
  static Values joined(const Gradients& gradients) {
    Values all;
    for (const std::size_t t : kMembers) {
      const Values own = gradients.values(t);
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }
  /// Of the unit under test; the first in the state.
  static NormMoments unit_moments(const GradientTransform& transform) { return saved_moments(transform)[0]; }
};

TEST_P(JoinedUnitTest, EqualsOneConcatenatedTensor) {
  const ParameterSet set = parameters();
  const ParameterSet one = testing::parameter_set_of_sizes({{static_cast<std::int64_t>(kJoinedCount)}});
  for (const DType dtype : kDTypes) {
    SCOPED_TRACE(to_string(dtype));
    GradientTransform transform = made(stabilize({}, units()));
    GradientTransform alone = stabilize();
    ASSERT_TRUE(alone.init(one).ok());
    Gradients gradients(set, dtype);
    Gradients whole(one, dtype);
    // The SIMD kernels add the squares of 16-bit types in pairs in float, 2^-24 relative; the root halves it.
    const double pairs = size_of(dtype) == 2 ? 0x1p-25 : 0.0;
    for (std::uint32_t step = 1; step <= 13; ++step) {
      fill(gradients, set, step, step == 12 ? 40.0 : 0.4);
      whole.set(0, joined(gradients));
      const auto report = transform.update(gradients.refs());
      const auto expected = alone.update(whole.refs());
      ASSERT_TRUE(report.ok() && expected.ok());
      const double factor = expected->tensors[0].factor;
      for (const std::size_t t : kMembers) {
        EXPECT_EQ(report->tensors[t].factor, report->tensors[0].factor) << "one factor for all members";
        EXPECT_EQ(report->tensors[t].spike, step == 12) << t;
      }
      EXPECT_NEAR(report->tensors[0].factor, factor, factor * (factor_error(kJoinedCount) + 3 * pairs));
      if (group()) {
        EXPECT_NE(report->tensors[1].factor, report->tensors[0].factor) << "in no group";
      }
    }
    const NormMoments actual = unit_moments(transform);
    const NormMoments expected = saved_moments(alone)[0];
    EXPECT_EQ(actual.step, 13);
    EXPECT_NEAR(actual.first, expected.first, expected.first * (norm_error(kJoinedCount) + pairs + 1e-14));
    EXPECT_NEAR(actual.second, expected.second,
                2 * expected.second * (norm_error(kJoinedCount) + pairs + 1e-14));
  }
}

TEST_P(JoinedUnitTest, TheDirectionOfTheUnitIsKept) {
  const ParameterSet set = parameters();
  GradientTransform transform = made(stabilize({}, units()));
  GradientTransform per_tensor = made(stabilize());
  const auto angle_deficit = [](const Values& a, const Values& b) {
    const double norm_a = norm_of(a);
    const double norm_b = norm_of(b);
    double distance = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double difference = a[i] / norm_a - b[i] / norm_b;
      distance += difference * difference;
    }
    return 0.5 * distance;  // 1 - cos
  };
  // Every element and both divisions round, each by 2^-53 of the unit vector's entry.
  const double bound = 0.5 * 16.0 * kRoundoff * kRoundoff * kJoinedCount;
  for (std::uint32_t step = 1; step <= 5; ++step) {
    Gradients gradients(set, DType::float64);
    Gradients apart(set, DType::float64);
    fill(gradients, set, step, 1.0);
    fill(apart, set, step, 1.0);
    const Values before = joined(gradients);
    ASSERT_TRUE(transform.update(gradients.refs()).ok());
    ASSERT_TRUE(per_tensor.update(apart.refs()).ok());
    EXPECT_LE(angle_deficit(before, joined(gradients)), bound);
    EXPECT_GT(angle_deficit(before, joined(apart)), 1e-3) << "per tensor it is not: the check can fail";
  }
}

TEST_P(JoinedUnitTest, ASpikeThatOneLinkSawStaysFlaggedAlthoughALaterLinkSeesItClipped) {
  const ParameterSet set = parameters();
  GradientTransform transform =
      made(chain(record_norms(4.0, units()), clip_by_global_norm(1e-3), record_norms(4.0, units())));
  Gradients gradients(set, DType::float32);
  for (std::uint32_t step = 1; step <= 12; ++step) {
    fill(gradients, set, step, step == 12 ? 100.0 : 1.0);
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    for (const std::size_t t : kMembers) EXPECT_EQ(report->tensors[t].spike, step == 12) << step;
  }
}

TEST_P(JoinedUnitTest, AMissingMemberCountsAsZeroAndIsNotTouched) {
  const ParameterSet set = parameters();
  GradientTransform with_gap = made(stabilize({}, units()));
  GradientTransform with_zero = made(stabilize({}, units()));
  Gradients gap(set, DType::float32);
  Gradients zero(set, DType::float32);
  for (std::uint32_t step = 1; step <= 4; ++step) {
    fill(gap, set, step, 1.0);
    fill(zero, set, step, 1.0);
    if (step != 2) {
      zero.set(2, Values(6, 0.0));
      gap.set_absent(2);
    }
    const auto untouched = gap.bytes(2);
    const auto report = with_gap.update(gap.refs());
    ASSERT_TRUE(report.ok());
    ASSERT_TRUE(with_zero.update(zero.refs()).ok());
    if (step != 2) {
      EXPECT_EQ(gap.bytes(2), untouched);
      EXPECT_EQ(report->tensors[2].factor, 1.0);
      EXPECT_FALSE(report->tensors[2].present);
    }
    for (const std::size_t t : {0u, 3u}) EXPECT_EQ(gap.bytes(t), zero.bytes(t)) << "step " << step;
  }
  EXPECT_EQ(saved_moments(with_gap), saved_moments(with_zero));
}

TEST_P(JoinedUnitTest, AUnitWithoutGradientsStaysAndOneOfZerosIsCountedAsZero) {
  const ParameterSet set = parameters();
  GradientTransform transform = made(stabilize({}, units()));
  Gradients gradients(set, DType::float32);
  fill(gradients, set, 1, 1.0);
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  NormMoments expected = unit_moments(transform);
  for (std::size_t t = 0; t < set.size(); ++t) gradients.set_absent(t);
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  EXPECT_EQ(unit_moments(transform), expected);

  for (const std::size_t t : kMembers)
    gradients.set(t, Values(static_cast<std::size_t>(element_count(set[t].sizes)), 0.0));
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  expected.zeros += 1;
  EXPECT_EQ(unit_moments(transform), expected);
}

/// More than one batch of the step plan.
TEST(JoinedUnitBatchesTest, AUnitBeyondABatchHasOneNorm) {
  const ParameterSet set = testing::parameter_set({{"a", {400000}}, {"b", {3}}, {"c", {400000}}, {"d", {1}}});
  for (const Units& units :
       {Units::whole_model(), Units::by_name({{"all", {"a", "c", "d"}}, {"b", {"b"}}})}) {
    GradientTransform transform = stabilize({}, units);
    ASSERT_TRUE(transform.init(set).ok());
    Gradients gradients(set, DType::float32);
    gradients.set_all({Values(400000, 0.5), {0, 0, 0}, Values(400000, 0.5), {-20}});
    const auto report = transform.update(gradients.refs());
    ASSERT_TRUE(report.ok());
    const double norm = std::sqrt(200000.0 + 400.0);
    for (const std::size_t t : {0u, 2u, 3u}) {
      EXPECT_NEAR(report->tensors[t].factor, 1.0 / norm, factor_error(800001) / norm) << t;
    }
    EXPECT_EQ(saved_moments(transform)[0].step, 1);
  }
}

/// Each member's norm is a double, the unit's is not: nothing is decided on it.
TEST_P(JoinedUnitTest, ANormBeyondTheLargestDoubleIsLeftAloneAndCountedAsNotFinite) {
  const ParameterSet set = parameters();
  GradientTransform transform = made(stabilize({}, units()));
  Gradients gradients(set, DType::float64);
  fill(gradients, set, 1, 1.0);
  ASSERT_TRUE(transform.update(gradients.refs()).ok());
  NormMoments expected = unit_moments(transform);
  fill(gradients, set, 2, 1.0);
  for (const std::size_t t : kMembers) {
    Values values(static_cast<std::size_t>(element_count(set[t].sizes)), 0.0);
    values[1] = 1.5e308;
    gradients.set(t, values);
  }
  const auto before = gradients.bytes(2);
  const auto report = transform.update(gradients.refs());
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(gradients.bytes(2), before);
  expected.nonfinite += 1;
  EXPECT_EQ(unit_moments(transform), expected);
}

class JoinedUnitNonFiniteTest : public JoinedUnitTest {
 protected:
  /// One clean step, then one with a NaN in one member.
  Result<StepReport> run(GradientTransform& transform) {
    const ParameterSet set = parameters();
    fill(gradients_, set, 1, 1.0);
    EXPECT_TRUE(transform.update(gradients_.refs()).ok());
    moments_ = saved_moments(transform);
    fill(gradients_, set, 2, 1.0);
    Values bad = gradients_.values(2);
    bad[4] = kNaN;
    gradients_.set(2, bad);
    values_ = gradients_.values();
    bytes_.clear();
    for (std::size_t t = 0; t < set.size(); ++t) bytes_.push_back(gradients_.bytes(t));
    return transform.update(gradients_.refs());
  }
  void expect_unchanged(std::size_t tensor) {
    EXPECT_EQ(gradients_.bytes(tensor), bytes_[tensor]) << "tensor " << tensor;
  }

  Gradients gradients_{parameters(), DType::float64};
  std::vector<Values> values_;  // before the second step
  std::vector<std::vector<std::byte>> bytes_;
  std::vector<NormMoments> moments_;
};

TEST_P(JoinedUnitNonFiniteTest, SkipTensorTakesTheMemberOutAndTheRestOfTheUnitGoesOn) {
  GradientTransform transform = made(stabilize({}, units()));
  const auto report = run(transform);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(gradients_.values(2), Values(6, 0.0));
  EXPECT_TRUE(report->tensors[2].zeroed);
  EXPECT_EQ(report->tensors[2].factor, 1.0);
  // The unit's norm is that of the members that are left.
  Values rest = values_[0];
  rest.insert(rest.end(), values_[3].begin(), values_[3].end());
  NormMoments expected = moments_[0];
  const Decision decision = decide({}, bias_correction_at({}, 2), expected, norm_of(rest));
  for (const std::size_t t : {0u, 3u}) {
    EXPECT_NEAR(report->tensors[t].factor, decision.factor, decision.factor * factor_error(12));
    EXPECT_TRUE(report->tensors[t].finite);
  }
  EXPECT_EQ(unit_moments(transform).step, 2);
  EXPECT_EQ(unit_moments(transform).nonfinite, 1);
  EXPECT_EQ(unit_moments(transform).zeros, 0);
}

TEST_P(JoinedUnitNonFiniteTest, SkipTensorOfAllMembersLeavesTheMomentsAlone) {
  GradientTransform transform = made(stabilize({}, units()));
  ASSERT_TRUE(run(transform).ok());
  NormMoments expected = unit_moments(transform);
  for (std::size_t t = 0; t < gradients_.refs().size(); ++t) {
    gradients_.set(t, Values(static_cast<std::size_t>(element_count(parameters()[t].sizes)), kNaN));
  }
  ASSERT_TRUE(transform.update(gradients_.refs()).ok());
  expected.nonfinite += 1;
  EXPECT_EQ(unit_moments(transform), expected);
}

TEST_P(JoinedUnitNonFiniteTest, SkipStepAndRaiseChangeNothing) {
  for (const NonFinitePolicy policy : {NonFinitePolicy::skip_step, NonFinitePolicy::raise}) {
    GradientTransform transform = made(stabilize({}, units()), policy);
    const auto report = run(transform);
    if (policy == NonFinitePolicy::raise) {
      EXPECT_EQ(report.status().message(), "gradient holds NaN or Inf: 'in.b'");
    } else {
      EXPECT_TRUE(report->skip_step);
    }
    for (std::size_t t = 0; t < parameters().size(); ++t) expect_unchanged(t);
    EXPECT_EQ(saved_moments(transform), moments_);
  }
}

TEST_P(JoinedUnitNonFiniteTest, PassThroughLeavesTheWholeUnitAndOtherUnitsGoOn) {
  GradientTransform transform = made(stabilize({}, units()), NonFinitePolicy::pass_through);
  const auto report = run(transform);
  ASSERT_TRUE(report.ok());
  for (const std::size_t t : kMembers) {
    expect_unchanged(t);
    EXPECT_EQ(report->tensors[t].factor, 1.0);
  }
  NormMoments expected = moments_[0];
  expected.nonfinite += 1;
  EXPECT_EQ(unit_moments(transform), expected);
  if (group()) {
    EXPECT_NE(report->tensors[1].factor, 1.0);
    EXPECT_EQ(saved_moments(transform)[1].step, 2);
  }
}

std::string name_of(const ::testing::TestParamInfo<Granularity>& test) {
  return std::string(to_string(test.param));
}
INSTANTIATE_TEST_SUITE_P(Units, JoinedUnitTest, ::testing::Values(Granularity::group, Granularity::model),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Units, JoinedUnitNonFiniteTest,
                         ::testing::Values(Granularity::group, Granularity::model), name_of);

}  // namespace
}  // namespace gradstab
