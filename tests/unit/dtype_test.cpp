// Conversions of the 16-bit formats, over all their values.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

struct Bfloat16Format {
  static double decode(std::uint16_t bits) { return to_float(BFloat16{bits}); }
  static std::uint16_t encode(double value) { return to_bfloat16(value).bits; }
  static constexpr std::uint16_t kInfinity = 0x7F80;
};
struct Float16Format {
  static double decode(std::uint16_t bits) { return to_float(Float16{bits}); }
  static std::uint16_t encode(double value) { return to_float16(value).bits; }
  static constexpr std::uint16_t kInfinity = 0x7C00;
};

template <class Format>
class NarrowTypeTest : public ::testing::Test {};
using NarrowTypes = ::testing::Types<Bfloat16Format, Float16Format>;
TYPED_TEST_SUITE(NarrowTypeTest, NarrowTypes);

TYPED_TEST(NarrowTypeTest, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto narrow = static_cast<std::uint16_t>(bits);
    const double value = TypeParam::decode(narrow);
    if ((narrow & 0x7FFFu) > TypeParam::kInfinity) {
      ASSERT_TRUE(std::isnan(value)) << std::hex << bits;
      ASSERT_TRUE(std::isnan(TypeParam::decode(TypeParam::encode(value)))) << std::hex << bits;
    } else {
      ASSERT_EQ(TypeParam::encode(value), narrow) << std::hex << bits;
    }
  }
}

TYPED_TEST(NarrowTypeTest, RoundsToTheNearestAndTiesToEven) {
  for (std::uint16_t bits = 0; bits + 1 < TypeParam::kInfinity; ++bits) {
    const double low = TypeParam::decode(bits);
    const double high = TypeParam::decode(static_cast<std::uint16_t>(bits + 1));
    const double middle = 0.5 * (low + high);  // exact in double
    const std::uint16_t even = (bits & 1u) ? static_cast<std::uint16_t>(bits + 1) : bits;
    ASSERT_EQ(TypeParam::encode(middle), even) << bits;
    ASSERT_EQ(TypeParam::encode(std::nextafter(middle, 0.0)), bits) << bits;
    ASSERT_EQ(TypeParam::encode(std::nextafter(middle, high)), bits + 1) << bits;
    ASSERT_EQ(TypeParam::encode(-middle), 0x8000u | even) << bits;
  }
}

TYPED_TEST(NarrowTypeTest, OverflowsFromHalfAStepBeyondTheLargestValue) {
  const auto largest_bits = static_cast<std::uint16_t>(TypeParam::kInfinity - 1);
  const double largest = TypeParam::decode(largest_bits);
  const double step = largest - TypeParam::decode(static_cast<std::uint16_t>(largest_bits - 1));
  const double first_infinite = largest + 0.5 * step;
  EXPECT_EQ(TypeParam::encode(std::nextafter(first_infinite, 0.0)), largest_bits);
  EXPECT_EQ(TypeParam::encode(first_infinite), TypeParam::kInfinity);
  EXPECT_EQ(TypeParam::encode(1e300), TypeParam::kInfinity);
  EXPECT_EQ(TypeParam::encode(-std::numeric_limits<double>::infinity()), 0x8000u | TypeParam::kInfinity);
}

TYPED_TEST(NarrowTypeTest, KeepsTheSignOfZero) {
  EXPECT_EQ(TypeParam::encode(0.0), 0u);
  EXPECT_EQ(TypeParam::encode(-0.0), 0x8000u);
  EXPECT_EQ(TypeParam::encode(-5e-324), 0x8000u);
}

TEST(DTypeTest, KnownValues) {
  EXPECT_EQ(to_float(Float16{0x3C00}), 1.0f);
  EXPECT_EQ(to_float(Float16{0x7BFF}), 65504.0f);
  EXPECT_EQ(to_float(Float16{0x0001}), 0x1p-24f);
  EXPECT_EQ(to_float(BFloat16{0x3F80}), 1.0f);
  EXPECT_EQ(to_float(BFloat16{0xC000}), -2.0f);
}

TEST(DTypeTest, ADoubleIsRoundedOnceAndNotByWayOfAFloat) {
  // 1 + 2^-11 + 2^-40: above the tie between 1 and 1 + 2^-10, but a float rounds it onto the tie first.
  EXPECT_EQ(to_float16(1.0 + 0x1p-11 + 0x1p-40).bits, 0x3C01);
  EXPECT_EQ(to_float16(static_cast<float>(1.0 + 0x1p-11 + 0x1p-40)).bits, 0x3C00);
}

TEST(DTypeTest, NamesAndSizes) {
  EXPECT_EQ(to_string(DType::float32), "float32");
  EXPECT_EQ(to_string(DType::float64), "float64");
  EXPECT_EQ(to_string(DType::float16), "float16");
  EXPECT_EQ(to_string(DType::bfloat16), "bfloat16");
  EXPECT_EQ(size_of(DType::float32), 4u);
  EXPECT_EQ(size_of(DType::float64), 8u);
  EXPECT_EQ(size_of(DType::float16), 2u);
  EXPECT_EQ(size_of(DType::bfloat16), 2u);
}

}  // namespace
}  // namespace gradstab
