// The kernels' own code on the host: sums, products and their independence of alignment and order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "backends/cuda/apply.hpp"
#include "backends/cuda/host_block.hpp"
#include "cuda/engine.hpp"
#include "gradstab/backend.hpp"
#include "support/elements.hpp"
#include "support/gradients.hpp"

namespace gradstab::device {
namespace {

using testing::Elements;
using testing::parameter_set_of_sizes;

constexpr DType kDTypes[] = {DType::float32, DType::float16, DType::bfloat16};
constexpr std::size_t kCounts[] = {0, 1, 3, 7, 8, 9, 255, 2049, 8192, 16383, 16384, 16385, 50001};

/// The squared norm that a device measures.
double squared_norm(Elements& elements, BlockOrder order = BlockOrder::forwards) {
  const auto parameters = parameter_set_of_sizes({{static_cast<std::int64_t>(elements.count())}});
  EngineSetup setup;
  setup.parameters = &parameters;
  DeviceEngine engine;
  engine.bind(emulated_device(order), setup).check();
  const TensorRef gradient{.data = elements.data(),
                           .dtype = elements.dtype(),
                           .sizes = parameters[0].sizes,
                           .strides = {},
                           .device = DeviceType::cuda};
  engine.prepare({}, std::span(&gradient, 1), nullptr).check();
  engine.measure(nullptr).check();
  return *engine.squared_norms();
}

long double exact_squared_norm(const Elements& elements) {
  long double sum = 0;
  for (std::size_t i = 0; i < elements.count(); ++i)
    sum += static_cast<long double>(elements.get(i)) * elements.get(i);
  return sum;
}

/// Of a sum over chunks: float32 is summed in double; of 16-bit types two squares are added in float first.
double tolerance(DType dtype) {
  return dtype == DType::float32 ? 0x1p-46 : 0x1p-24 + 0x1p-46;
}

TEST(CudaKernels, SquaredNormsAreThoseOfExactArithmetic) {
  for (const DType dtype : kDTypes) {
    for (const std::size_t count : kCounts) {
      Elements elements(dtype, count);
      elements.fill(static_cast<unsigned>(count));
      const auto exact = static_cast<double>(exact_squared_norm(elements));
      EXPECT_NEAR(squared_norm(elements), exact, tolerance(dtype) * exact)
          << to_string(dtype) << " " << count;
    }
  }
}

TEST(CudaKernels, SquaredNormsOfExtremeElementsNeitherOverflowNorVanish) {
  for (const double extreme : {1e30, 1e-30, 3e38}) {
    for (const DType dtype : {DType::float32, DType::bfloat16}) {
      Elements elements(dtype, 1001);
      elements.fill(3, extreme / 8);
      const auto exact = static_cast<double>(exact_squared_norm(elements));
      ASSERT_GT(exact, 0.0);
      EXPECT_NEAR(squared_norm(elements) / exact, 1.0, tolerance(dtype))
          << to_string(dtype) << " " << extreme;
    }
  }
}

TEST(CudaKernels, SquaredNormsDependNeitherOnAlignmentNorOnTheOrderOfBlocks) {
  for (const DType dtype : kDTypes) {
    for (const std::size_t count : {9u, 16385u, 50001u}) {
      Elements aligned(dtype, count);
      aligned.fill(5);
      const double expected = squared_norm(aligned);
      for (const std::size_t offset : {1u, 2u, 3u, 5u, 7u}) {
        Elements moved(dtype, count, offset);
        moved.fill(5);
        EXPECT_EQ(squared_norm(moved), expected) << to_string(dtype) << " " << count << " " << offset;
        EXPECT_TRUE(moved.guards_intact());
      }
      EXPECT_EQ(squared_norm(aligned, BlockOrder::backwards), expected);
      EXPECT_EQ(squared_norm(aligned, BlockOrder::interleaved), expected);
    }
  }
}

TEST(CudaKernels, NonFiniteElementsShowInTheSum) {
  for (const DType dtype : kDTypes) {
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      Elements elements(dtype, 40000, 1);
      elements.fill(1);
      elements.set(39999, bad);
      EXPECT_FALSE(std::isfinite(squared_norm(elements)));
    }
  }
}

/// Scales as a block of the device does.
void scale(Elements& elements, double factor) {
  HostBlock block(0);
  const Factor split(factor);
  const auto count = static_cast<std::uint32_t>(elements.count());
  block.each([&](unsigned thread) {
    switch (elements.dtype()) {
      case DType::float32:
        return thread_scale<SingleFormat>(elements.data(), count, split, false, thread);
      case DType::float16:
        return thread_scale<HalfFormat>(elements.data(), count, split, false, thread);
      default:
        return thread_scale<BrainFormat>(elements.data(), count, split, false, thread);
    }
  });
}

const std::vector<double>& factors() {
  static const std::vector<double> list = {0.5,     0.75,         1.0 / 3.0,     12.649110640673518,
                                           1e-3,    1.0 + 0x1p-9, 1.0 + 0x1p-12, 0.8954271,
                                           1e-20,   1e20,         1e-30,         1e-45,
                                           0x1p-70, 1e300,        1e-300,        1.00390625,
                                           0x1p-24, 65504.0,      1.0 - 0x1p-53};
  return list;
}

TEST(CudaKernels, ProductsAreThoseOfTheReferenceBitForBit) {
  const Backend& reference = *find_backend("reference").value();
  for (const DType dtype : kDTypes) {
    for (const double factor : factors()) {
      for (const std::size_t offset : {0u, 1u, 3u}) {
        Elements actual(dtype, 3001, offset);
        Elements expected(dtype, 3001, offset);
        actual.fill(8);
        expected.fill(8);
        scale(actual, factor);
        reference.scale(expected.data(), dtype, expected.count(), factor);
        EXPECT_TRUE(same_elements(actual, expected)) << to_string(dtype) << " " << factor;
        EXPECT_TRUE(actual.guards_intact());
      }
    }
  }
}

/// Every 16-bit number, where a product is rounded to 16 bits.
TEST(CudaKernels, ProductsOfAllSixteenBitNumbersAreThoseOfTheReference) {
  const Backend& reference = *find_backend("reference").value();
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    Elements actual(dtype, 65536);
    Elements expected(dtype, 65536);
    for (const double factor : factors()) {
      for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const auto low = static_cast<std::uint16_t>(bits);
        std::memcpy(actual.data() + 2 * bits, &low, 2);
        std::memcpy(expected.data() + 2 * bits, &low, 2);
      }
      scale(actual, factor);
      reference.scale(expected.data(), dtype, expected.count(), factor);
      EXPECT_TRUE(same_elements(actual, expected)) << to_string(dtype) << " " << factor;
    }
  }
}

TEST(CudaKernels, OddRoundingKeepsWhatTheNextRoundingNeeds) {
  EXPECT_EQ(round_to_odd(1.5), 1.5f);
  // A tie of 16 bits, and a little more or less than it: in float they would be the same.
  const double tie = 1.0 + 0x1p-8;
  for (const double beyond : {0x1p-50, -0x1p-50}) {
    EXPECT_EQ(BrainFormat::round(round_to_odd(tie + beyond)), to_bfloat16(tie + beyond).bits);
    EXPECT_EQ(BrainFormat::round(round_to_odd(-tie - beyond)), to_bfloat16(-tie - beyond).bits);
  }
  // The control: rounding to float on the way loses it.
  EXPECT_NE(BrainFormat::round(static_cast<float>(tie + 0x1p-50)), to_bfloat16(tie + 0x1p-50).bits);
  EXPECT_EQ(round_to_odd(1e300), std::numeric_limits<float>::max());
  EXPECT_EQ(round_to_odd(-1e-300), -std::numeric_limits<float>::denorm_min());
}

TEST(CudaKernels, SixteenBitRoundingIsToNearestEven) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    for (const std::uint32_t low : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      const auto value = std::bit_cast<float>((bits << 16) | low);
      if (std::isnan(value)) continue;
      ASSERT_EQ(BrainFormat::round(value), to_bfloat16(value).bits) << value;
      ASSERT_EQ(HalfFormat::round(value), to_float16(value).bits) << value;
    }
  }
}

}  // namespace
}  // namespace gradstab::device
