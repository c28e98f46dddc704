// Numbers of a step that float32 has not with all their digits: every backend then computes in double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/optimizer/scalar_arithmetic.hpp"
#include "update_arrays.hpp"

namespace gradstab::testing {
namespace {

// The ends of what is computed in float32.
constexpr double kSmallestNormal = std::numeric_limits<float>::min();
constexpr double kLargest = std::numeric_limits<float>::max() / 2;

constexpr DType kGradients[] = {DType::float32, DType::float16, DType::bfloat16};

UpdateScalars ordinary_numbers() {
  UpdateScalars scalars;
  scalars.gradient_factor = 0.7310585786300049;
  scalars.l2 = 0.013;
  scalars.keep = 0.99937;
  scalars.keep_after = 0.9981;
  scalars.step_size = 0.0123;
  scalars.beta1 = 0.91;
  scalars.weight1 = 0.087;
  scalars.beta2 = 0.983;
  scalars.weight2 = 0.0171;
  scalars.root_factor = 1.37;
  scalars.epsilon = 1.1e-8;
  scalars.threshold = 1.7;
  return scalars;
}

TEST(NumberRangeTest, OrdinaryNumbersZeroAndWhatIsNoNumberFit) {
  EXPECT_TRUE(fits_float32(UpdateScalars{}));
  EXPECT_TRUE(fits_float32(ordinary_numbers()));
  const auto fits = [](double UpdateScalars::*member, double value) {
    UpdateScalars scalars = ordinary_numbers();
    scalars.*member = value;
    return fits_float32(scalars);
  };
  for (const auto member : kUpdateScalars) {
    for (const double value : {0.0, -0.0, 1.0, -0.3, kSmallestNormal, -kSmallestNormal, kLargest, -kLargest,
                               HUGE_VAL, -HUGE_VAL, std::nan("")})
      EXPECT_TRUE(fits(member, value)) << value;
    for (const double value :
         {std::nextafter(kSmallestNormal, 0.0), -1e-39, 1e-45, 1e-46, 1e-300, 1e-310, -5e-324, 0x1p127,
          std::nextafter(0x1p128, 0.0), 0x1p128, 1e39, -1e300, std::numeric_limits<double>::max()})
      EXPECT_FALSE(fits(member, value)) << value;
  }
}

/// The arrays of a block, all that is in them times `scale`.
std::unique_ptr<Arrays> scaled_arrays(ParameterStorage storage, DType gradient, double scale) {
  constexpr std::size_t kCount = 101;
  auto arrays = std::make_unique<Arrays>(storage, gradient, kCount, 0);
  for (std::size_t i = 0; i < kCount; ++i) {
    arrays->parameter.set(i, arrays->parameter.get(i) * scale);
    arrays->master.set(i, arrays->master.get(i) * scale);
    if (gradient != DType::float16) arrays->gradient.set(i, arrays->gradient.get(i) * scale);
    for (auto& state : arrays->states) state->set(i, state->get(i) * scale);
  }
  return arrays;
}

/// One number of a step at a time, in arrays of a size that keeps most results inside float32. Bit for bit:
/// there is one arithmetic in double. `seen` counts results that are ordinary numbers.
void expect_the_references_bits(double UpdateScalars::*member, double value, double scale, int& seen) {
  UpdateScalars scalars = ordinary_numbers();
  scalars.*member = value;
  for (const UpdateRule rule : kUpdateRules) {
    for (const ParameterStorage storage : kParameterStorages) {
      if (storage == ParameterStorage::float64) continue;
      for (const DType gradient : kGradients) {
        const auto expected = scaled_arrays(storage, gradient, scale);
        backends().front()->update(expected->block(rule, 7), scalars);
        for (std::size_t i = 0; i < expected->count; ++i)
          seen += std::isnormal(expected->parameter.get(i)) ? 1 : 0;
        for (const Backend* backend : supported_backends()) {
          const auto actual = scaled_arrays(storage, gradient, scale);
          backend->update(actual->block(rule, 7), scalars);
          EXPECT_TRUE(same_arrays(*actual, *expected))
              << backend->name() << ", " << to_string(rule) << ", " << to_string(storage) << ", "
              << to_string(gradient) << ", value " << value;
        }
      }
    }
  }
}

TEST(NumberRangeTest, WhatFloat32HasNotIsComputedInDouble) {
  for (const auto member : kUpdateScalars) {
    for (const double value : {1e-39, 3e-45, 1e-46, 1e-60, 3.5e38, 1e39, 1e42}) {
      int seen = 0;
      expect_the_references_bits(member, value, value > 1.0 ? 1e-37 : 1.0, seen);
      EXPECT_GT(seen, 101) << "value " << value;
    }
  }
}

/// The control: with ordinary numbers the arithmetic is float32, whose last digits are others.
TEST(NumberRangeTest, OrdinaryNumbersAreComputedInFloat32) {
  for (const double factor : {0.7310585786300049, kSmallestNormal, kLargest}) {
    UpdateScalars scalars = ordinary_numbers();
    scalars.gradient_factor = factor;
    const auto run = [&](const Backend& backend) {
      auto arrays = scaled_arrays(ParameterStorage::float32, DType::float32, factor > 1.0 ? 1e-37 : 1.0);
      backend.update(arrays->block(UpdateRule::adam), scalars);
      return arrays;
    };
    const auto expected = run(*backends().front());
    for (const Backend* backend : supported_backends()) {
      if (backend != backends().front()) {
        EXPECT_FALSE(same_arrays(*run(*backend), *expected)) << backend->name() << ", factor " << factor;
      }
    }
  }
}

/// As measured on a saturated logit: gradient 3e-40, factor 1 / 3e-40. Of 0 and of the gradient alike.
TEST(NumberRangeTest, ATinyGradientTimesAHugeFactorIsNoNaN) {
  for (const Backend* backend : supported_backends()) {
    for (const UpdateRule rule : kUpdateRules) {
      Arrays arrays(ParameterStorage::float32, DType::float32, 24, 0);
      for (std::size_t i = 0; i < 24; ++i) {
        arrays.parameter.set(i, 1.0);
        arrays.gradient.set(i, i % 2 == 0 ? 3e-40 : 0.0);
        for (auto& state : arrays.states) state->set(i, 0.0);
      }
      UpdateScalars scalars;
      scalars.gradient_factor = 1.0 / 3e-40;
      scalars.step_size = 0.25;
      scalars.epsilon = 1e-8;
      scalars.threshold = HUGE_VAL;
      backend->update(arrays.block(rule), scalars);
      for (std::size_t i = 0; i < 24; ++i) {
        // 3e-40 is off by half of 2^-149 at most, 2.4e-6 of itself; epsilon is 1e-8 of the root.
        EXPECT_NEAR(arrays.parameter.get(i), i % 2 == 0 ? 0.75 : 1.0, 1e-6)
            << backend->name() << ", " << to_string(rule) << ", element " << i;
      }
    }
  }
}

}  // namespace
}  // namespace gradstab::testing
