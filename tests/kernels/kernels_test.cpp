// One body of checks over every backend, dtype, length and alignment, against the reference backend.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <tuple>

#include "support/elements.hpp"

namespace gradstab::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kOffsets[] = {0, 1, 3, 7, 13};

/// Around every multiple of a vector that an instruction set could have, and what lies far from one.
std::vector<std::size_t> lengths() {
  std::set<std::size_t> result = {0, 1, 2, 3, 5, 7, 11, 97, 257, 1000, 1009, 4099};
  for (std::size_t lanes = 2; lanes <= 128; lanes *= 2) {
    for (const std::size_t n : {lanes - 1, lanes, lanes + 1, 4 * lanes + 3}) result.insert(n);
  }
  return {result.begin(), result.end()};
}

/// More than two blocks of the step plan.
constexpr std::size_t kLarge = 2 * 65536 + 4099;

/// How far two sums of the same `count` squares may lie apart. Accumulated in double, in any order, each of
/// the at most `count` additions and the rounding of each square err by 2^-53 of what is summed, in both
/// sums. The squares of 16-bit formats may besides be added in pairs in float, which errs by 2^-24.
double sum_tolerance(DType dtype, std::size_t count, double sum) {
  const double pairs = size_of(dtype) == 2 && count > 1 ? 0x1p-24 : 0.0;
  return (2.0 * (static_cast<double>(count) + 1.0) * 0x1p-53 + pairs) * sum;
}

::testing::AssertionResult sums_agree(DType dtype, double actual, double expected, std::size_t count) {
  const double tolerance = sum_tolerance(dtype, count, expected);
  if (std::fabs(actual - expected) <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << actual << " differs from " << expected << " by "
                                       << std::fabs(actual - expected) << ", more than " << tolerance;
}

class KernelTest : public ::testing::TestWithParam<std::tuple<const Backend*, DType>> {
 protected:
  const Backend& backend() const { return *std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  const Backend& reference() const { return *backends().front(); }

  double squared_norm(const Elements& e) const {
    return backend().squared_norm(e.data(), dtype(), e.count());
  }
  double max_abs(const Elements& e) const { return backend().max_abs(e.data(), dtype(), e.count()); }
  void scale(Elements& e, double factor) const { backend().scale(e.data(), dtype(), e.count(), factor); }

  /// All three kernels on the same values at every offset.
  void check_against_reference(std::size_t count, double factor) {
    Elements scaled(dtype(), count);
    scaled.fill(7, 0.1);
    const double expected_sum = reference().squared_norm(scaled.data(), dtype(), count);
    const double expected_max = reference().max_abs(scaled.data(), dtype(), count);
    reference().scale(scaled.data(), dtype(), count, factor);
    double first_sum = 0.0;
    for (const std::size_t offset : kOffsets) {
      SCOPED_TRACE("count " + std::to_string(count) + ", offset " + std::to_string(offset));
      Elements elements(dtype(), count, offset);
      elements.fill(7, 0.1);
      const double sum = squared_norm(elements);
      EXPECT_TRUE(sums_agree(dtype(), sum, expected_sum, count));
      if (offset == 0) first_sum = sum;
      EXPECT_EQ(sum, first_sum) << "depends on the alignment";
      EXPECT_EQ(max_abs(elements), expected_max);
      scale(elements, factor);
      EXPECT_TRUE(same_elements(elements, scaled));
      EXPECT_TRUE(elements.guards_intact());
    }
  }
};

/// float16 and bfloat16.
class SixteenBitKernelTest : public KernelTest {};
/// All but float16, whose squares are within the range of float.
class WideRangeKernelTest : public KernelTest {};

TEST_P(KernelTest, AgreesWithTheReferenceForAllLengthsAndAlignments) {
  for (const std::size_t count : lengths()) check_against_reference(count, 0.7310585786300049);
  check_against_reference(kLarge, -1.2345678901234567);
}

/// Both roundings, ties, results below and beyond the range, and factors that are no numbers.
TEST_P(KernelTest, ScalesLikeTheReferenceByAnyFactor) {
  std::vector<double> factors = {0.0, -0.0, 1.0, -1.0, 0.5, 0.75, 3.0, 1.0 / 3.0, 1e-3, 1e-8, 1e-30, 1e-40};
  for (const double f : {1e5, 1e30, 1e39, 1e300, 1e-300, 5e-324, kInfinity, -kInfinity, kNaN}) {
    factors.push_back(f);
  }
  Elements values(dtype(), 509);
  values.fill(11);
  const double special[] = {0.0,   -0.0, kInfinity, -kInfinity, kNaN, 1e-38, 1e-39, -1e-40,
                            1e-45, 6e-8, 65504,     -6e-5,      3e38, -1e38, 1e308, 5e-324};
  for (std::size_t i = 0; i < std::size(special); ++i) values.set(20 * i + 3, special[i]);
  for (const double factor : factors) {
    SCOPED_TRACE("factor " + std::to_string(factor));
    Elements expected(dtype(), values.count());
    Elements actual(dtype(), values.count(), 1);
    std::memcpy(expected.data(), values.data(), values.bytes());
    std::memcpy(actual.data(), values.data(), values.bytes());
    reference().scale(expected.data(), dtype(), expected.count(), factor);
    scale(actual, factor);
    EXPECT_TRUE(same_elements(actual, expected));
  }
}

TEST_P(KernelTest, ClampsLikeTheReferenceByAnyLimitAndFactor) {
  const double special[] = {0.0,   -0.0, kInfinity, -kInfinity, kNaN, 1e-38, 1e-39, -1e-40,
                            1e-45, 6e-8, 65504,     -6e-5,      3e38, -1e38, 1e308, 5e-324};
  for (const std::size_t count : lengths()) {
    Elements values(dtype(), count);
    values.fill(23);
    for (std::size_t i = 0; i < std::size(special) && 20 * i + 3 < count; ++i)
      values.set(20 * i + 3, special[i]);
    for (const double factor : {1.0, -0.7310585786300049, 1e3, 1e-9, kNaN, kInfinity}) {
      for (const double limit : {0.1, 0.75, 1e-6, 1e30}) {
        SCOPED_TRACE("factor " + std::to_string(factor) + ", limit " + std::to_string(limit));
        Elements expected(dtype(), count);
        Elements actual(dtype(), count, 3);
        std::memcpy(expected.data(), values.data(), values.bytes());
        std::memcpy(actual.data(), values.data(), values.bytes());
        reference().clamp(expected.data(), dtype(), count, factor, limit);
        backend().clamp(actual.data(), dtype(), count, factor, limit);
        ASSERT_TRUE(same_elements(actual, expected));
        ASSERT_TRUE(actual.guards_intact());
      }
    }
  }
}

/// What the reference itself does, number by number.
TEST_P(KernelTest, ClampingKeepsWhatIsWithinTheLimitAndNaN) {
  Elements elements(dtype(), 6);
  const double before[] = {0.25, -3.0, kInfinity, -kInfinity, kNaN, -0.0};
  const double after[] = {0.25, -0.5, 0.5, -0.5, kNaN, -0.0};
  for (std::size_t i = 0; i < 6; ++i) elements.set(i, before[i]);
  backend().clamp(elements.data(), dtype(), 6, 1.0, 0.5);
  for (std::size_t i = 0; i < 6; ++i) {
    if (std::isnan(after[i])) {
      EXPECT_TRUE(std::isnan(elements.get(i)));
    } else {
      EXPECT_EQ(elements.get(i), after[i]);
      EXPECT_EQ(std::signbit(elements.get(i)), std::signbit(after[i]));
    }
  }
}

/// A 16-bit format has few enough values to try them all.
TEST_P(SixteenBitKernelTest, ScalesEveryValueLikeTheReference) {
  std::vector<double> factors = {0.5, 0.75, 1.5, 0x1p-9, 0x1p-20, 0x1p20, 1.0 + 0x1p-8, 1.0 + 0x1p-11,
                                 // Products on, just above and just below the middle between neighbours.
                                 1.0 + 0x1p-11 + 0x1p-52, 1.0 + 0x1p-11 - 0x1p-52, 1.0 + 0x1p-8 + 0x1p-52,
                                 1.0 + 0x1p-8 - 0x1p-52, 1.0 + 0x1p-24, 1.0 - 0x1p-25, 0x1p-126, 0x1p-140};
  std::mt19937 generator(3);
  std::uniform_real_distribution<double> logarithm(-30.0, 30.0);
  for (int i = 0; i < 40; ++i) factors.push_back(std::exp(logarithm(generator)) * (i % 2 ? -1.0 : 1.0));
  constexpr std::size_t kValues = 65536;
  for (const double factor : factors) {
    Elements expected(dtype(), kValues);
    Elements actual(dtype(), kValues);
    for (std::size_t i = 0; i < kValues; ++i) {
      const auto bits = static_cast<std::uint16_t>(i);
      std::memcpy(expected.data() + 2 * i, &bits, 2);
      std::memcpy(actual.data() + 2 * i, &bits, 2);
    }
    reference().scale(expected.data(), dtype(), kValues, factor);
    scale(actual, factor);
    EXPECT_TRUE(same_elements(actual, expected)) << "factor " << std::hexfloat << factor;
  }
}

TEST_P(SixteenBitKernelTest, ReadsEveryValueExactly) {
  for (std::size_t i = 0; i < 65536; ++i) {
    Elements one(dtype(), 1);
    const auto bits = static_cast<std::uint16_t>(i);
    std::memcpy(one.data(), &bits, 2);
    const double value = one.get(0);
    const double sum = squared_norm(one);
    const double largest = max_abs(one);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(sum) && std::isnan(largest)) << "bits " << i;
    } else {
      ASSERT_EQ(sum, value * value) << "bits " << i;
      ASSERT_EQ(largest, std::fabs(value)) << "bits " << i;
    }
  }
}

TEST_P(KernelTest, HugeValuesDoNotOverflow) {
  const double huge = dtype() == DType::float16 ? 65504.0 : 1e30;
  Elements elements(dtype(), 1009);
  for (std::size_t i = 0; i < elements.count(); ++i) elements.set(i, huge);
  const double value = elements.get(0);
  EXPECT_TRUE(sums_agree(dtype(), squared_norm(elements), 1009.0 * value * value, 1009));
  EXPECT_EQ(max_abs(elements), value);
}

TEST_P(KernelTest, DenormalsCount) {
  const double tiny = dtype() == DType::float16 ? 0x1p-24 : dtype() == DType::float64 ? 0x1p-500 : 0x1p-133;
  Elements elements(dtype(), 131);
  for (std::size_t i = 0; i < elements.count(); ++i) elements.set(i, tiny);
  EXPECT_EQ(squared_norm(elements), 131.0 * tiny * tiny);
  EXPECT_EQ(max_abs(elements), tiny);
  scale(elements, 3.0);
  EXPECT_EQ(elements.get(130), 3.0 * tiny);
}

TEST_P(KernelTest, OneNonFiniteElementIsSeenWhereverItIs) {
  constexpr std::size_t kLength = 2 * 128 + 37;
  Elements elements(dtype(), kLength, 1);
  elements.fill(5);
  for (std::size_t i = 0; i < kLength; ++i) {
    const double before = elements.get(i);
    elements.set(i, kNaN);
    ASSERT_TRUE(std::isnan(squared_norm(elements))) << "at " << i;
    ASSERT_TRUE(std::isnan(max_abs(elements))) << "at " << i;
    elements.set(i, i % 2 ? kInfinity : -kInfinity);
    ASSERT_EQ(squared_norm(elements), kInfinity) << "at " << i;
    ASSERT_EQ(max_abs(elements), kInfinity) << "at " << i;
    elements.set(i, before);
  }
  elements.set(3, kInfinity);
  elements.set(200, kNaN);
  EXPECT_TRUE(std::isnan(max_abs(elements))) << "an infinity hides a NaN";
}

/// Squares of some elements leave float's range downwards, of others upwards.
TEST_P(WideRangeKernelTest, SquaresBeyondTheRangeOfFloatCount) {
  constexpr std::size_t kCount = 3 * 8192 + 77;
  for (const double size : {1e-37, 1e-30, 1e-19, 3e-10, 1e19, 1e36}) {
    Elements elements(dtype(), kCount);
    elements.fill(17, size);
    const double expected = reference().squared_norm(elements.data(), dtype(), kCount);
    EXPECT_TRUE(sums_agree(dtype(), squared_norm(elements), expected, kCount)) << "size " << size;
  }
  Elements mixed(dtype(), kCount);
  mixed.fill(19, 1e-25);
  for (std::size_t i = 5; i < kCount; i += 9000) mixed.set(i, 1e20);
  const double expected = reference().squared_norm(mixed.data(), dtype(), kCount);
  EXPECT_TRUE(sums_agree(dtype(), squared_norm(mixed), expected, kCount));
}

/// Proves that the comparisons above can fail.
TEST_P(KernelTest, TheComparisonSeesOneChangedElement) {
  constexpr std::size_t kCount = 1009;
  Elements elements(dtype(), kCount);
  elements.fill(13);
  const double expected = squared_norm(elements);
  Elements scaled(dtype(), kCount);
  scaled.fill(13);
  for (const std::size_t position : {std::size_t{0}, kCount / 2, kCount - 1}) {
    const double before = elements.get(position);
    // One unit in the last place of the narrower formats, and what stands out of rounding in float64.
    const double change = std::fabs(before) * (size_of(dtype()) == 2 ? 0x1p-7 : 0x1p-23);
    elements.set(position, before + (before > 0 ? 1 : -1) * std::max(change, 1e-7));
    EXPECT_FALSE(sums_agree(dtype(), squared_norm(elements), expected, kCount)) << "at " << position;
    EXPECT_FALSE(same_elements(elements, scaled)) << "at " << position;
    elements.set(position, before);
  }
  EXPECT_TRUE(same_elements(elements, scaled));
}

std::string test_name(const ::testing::TestParamInfo<KernelTest::ParamType>& info) {
  std::string name(std::get<0>(info.param)->name());
  std::erase(name, '-');
  return name + "_" + std::string(to_string(std::get<1>(info.param)));
}

const auto kBackends = ::testing::ValuesIn(supported_backends());
INSTANTIATE_TEST_SUITE_P(Backends, KernelTest, ::testing::Combine(kBackends, ::testing::ValuesIn(kAllDTypes)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Backends, SixteenBitKernelTest,
                         ::testing::Combine(kBackends, ::testing::Values(DType::float16, DType::bfloat16)),
                         test_name);
INSTANTIATE_TEST_SUITE_P(Backends, WideRangeKernelTest,
                         ::testing::Combine(kBackends, ::testing::Values(DType::float32, DType::float64,
                                                                         DType::bfloat16)),
                         test_name);

}  // namespace
}  // namespace gradstab::testing
