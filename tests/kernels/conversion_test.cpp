// The 16-bit conversions over all their values, against the compiler's own or against their definition.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

/// Doubles that test a rounding: a value of the format, the middle to its neighbour, and both sides of
/// either.
template <class ToFloat>
std::vector<double> interesting_doubles(ToFloat to_float_of) {
  std::vector<double> result;
  for (std::uint32_t bits = 0; bits < 65535; ++bits) {
    const double value = to_float_of(static_cast<std::uint16_t>(bits));
    const double next = to_float_of(static_cast<std::uint16_t>(bits + 1));
    if (!std::isfinite(value) || !std::isfinite(next)) continue;
    const double middle = value + (next - value) / 2;
    for (const double d : {value, middle}) {
      result.push_back(d);
      result.push_back(std::nextafter(d, std::numeric_limits<double>::infinity()));
      result.push_back(std::nextafter(d, -std::numeric_limits<double>::infinity()));
    }
  }
  std::mt19937_64 generator(1);
  for (int i = 0; i < 200000; ++i) {
    const double d = std::bit_cast<double>(generator());
    if (!std::isnan(d)) result.push_back(d);
    result.push_back(static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(generator()))));
  }
  return result;
}

TEST(BFloat16Conversion, EveryValueIsTheUpperHalfOfAFloat) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = to_float(BFloat16{static_cast<std::uint16_t>(bits)});
    ASSERT_EQ(std::bit_cast<std::uint32_t>(value), bits << 16);
    const auto back = to_bfloat16(value);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(to_float(back))) << bits;
    } else {
      ASSERT_EQ(back.bits, bits);
    }
  }
}

/// By definition: of the two neighbours the nearer, of equally near ones the even.
TEST(BFloat16Conversion, RoundsToTheNearestWithTiesToEven) {
  for (const double value :
       interesting_doubles([](std::uint16_t bits) { return to_float(BFloat16{bits}); })) {
    if (std::isnan(value)) continue;
    const std::uint16_t rounded = to_bfloat16(value).bits;
    const std::uint16_t magnitude = rounded & 0x7FFFu;
    ASSERT_LE(magnitude, 0x7F80u) << value;
    ASSERT_EQ(rounded >> 15, std::signbit(value) ? 1 : 0) << value;
    // Beyond the largest value the next step of the last spacing stands for infinity.
    const auto magnitude_of = [](int bits) {
      return bits == 0x7F80 ? 0x1p128
                            : static_cast<double>(to_float(BFloat16{static_cast<std::uint16_t>(bits)}));
    };
    const double target = std::fabs(value);
    const double error = std::fabs(magnitude_of(magnitude) - target);
    if (magnitude > 0) {
      const double below = std::fabs(magnitude_of(magnitude - 1) - target);
      ASSERT_TRUE(error < below || (error == below && magnitude % 2 == 0)) << std::hexfloat << value;
    }
    if (magnitude < 0x7F80) {
      const double above = std::fabs(magnitude_of(magnitude + 1) - target);
      ASSERT_TRUE(error < above || (error == above && magnitude % 2 == 0)) << std::hexfloat << value;
    }
  }
}

#if defined(__FLT16_MANT_DIG__)
TEST(Float16Conversion, EveryValueIsTheCompilers) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const auto expected = static_cast<float>(std::bit_cast<_Float16>(half));
    const float value = to_float(Float16{half});
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(to_float(to_float16(value)))) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(value), std::bit_cast<std::uint32_t>(expected)) << bits;
      ASSERT_EQ(to_float16(value).bits, half);
    }
  }
}

TEST(Float16Conversion, RoundsLikeTheCompiler) {
  for (const double value : interesting_doubles([](std::uint16_t bits) { return to_float(Float16{bits}); })) {
    if (std::isnan(value)) continue;
    ASSERT_EQ(to_float16(value).bits, std::bit_cast<std::uint16_t>(static_cast<_Float16>(value)))
        << std::hexfloat << value;
  }
}
#endif

}  // namespace
}  // namespace gradstab
