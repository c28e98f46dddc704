// Gradients from the smallest subnormal number to the largest on a device, whose numbers are those of the
// CPU.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/optimizer_pair.hpp"

namespace gradstab {
namespace {

using testing::DevicePair;
using testing::DeviceTypes;
using testing::Kind;
using testing::Values;

/// Exponents by which multiples of 1/16 up to 4 are multiplied without a rounding: from the spacing of the
/// subnormals to the largest numbers.
std::vector<int> exponents(DType dtype) {
  const int lowest = std::ilogb(testing::smallest_positive(dtype)) + 4;
  const int highest = dtype == DType::float16 ? 13 : 125;
  return {lowest, lowest + 7, lowest + 20, 0, highest};
}

std::vector<Values> scaled_gradients(std::mt19937_64& random, const ParameterSet& parameters, int exponent) {
  std::vector<Values> result = testing::exact_gradients(random, parameters);
  for (Values& values : result)
    for (double& value : values) value = std::ldexp(value, exponent);
  return result;
}

TEST(CudaNumberRange, GradientsOfAnySizeGiveTheBitsOfTheCpu) {
  for (const Kind& chosen : testing::kinds_with_early_resets()) {
    // Adam-mini's norms of units enter squared sums of several segments, whose order is the device's own.
    if (chosen.name == "adam_mini") continue;
    for (const DeviceTypes& types : testing::kDeviceTypes) {
      for (const int exponent : exponents(types.gradient)) {
        DevicePair pair(chosen, types.parameter, types.gradient, types.low_precision);
        const auto before = pair.weights.values();
        std::mt19937_64 random(17);
        for (int step = 0; step < 6; ++step) {
          pair.step(scaled_gradients(random, pair.host.parameters, exponent));
          pair.expect_same_bits(chosen.name + ", gradients times 2^" + std::to_string(exponent));
        }
        EXPECT_EQ(pair.device.save().value(), pair.host.optimizer.save().value()) << chosen.name;
        EXPECT_NE(pair.weights.values(), before) << chosen.name;
        for (const Values& values : pair.weights.values())
          for (const double value : values) ASSERT_TRUE(std::isfinite(value)) << chosen.name << exponent;
      }
    }
  }
}

TEST(CudaNumberRange, AdamMiniDividesByUnitsOfAnySize) {
  for (const Kind& chosen : testing::kinds_with_early_resets()) {
    if (chosen.name != "adam_mini") continue;
    for (const int exponent : exponents(DType::float32)) {
      DevicePair pair(chosen, DType::float32, DType::float32);
      std::mt19937_64 random(17);
      const int steps = 6;
      for (int step = 0; step < steps; ++step)
        pair.step(scaled_gradients(random, pair.host.parameters, exponent));
      EXPECT_EQ(testing::difference(pair.weights.values(), pair.host.weights.values(), steps * 0x1p-22), "")
          << exponent;
      // The control: another step is another result.
      pair.device.step(testing::on_device(pair.weights.refs()), testing::on_device(pair.gradients.refs()))
          .check();
      EXPECT_NE(testing::difference(pair.weights.values(), pair.host.weights.values(), steps * 0x1p-22), "");
    }
  }
}

/// Settings that float32 has not, one in each kind of optimizer.
TEST(CudaNumberRange, SettingsBeyondFloat32GiveTheBitsOfTheCpu) {
  const Kind cases[] = {{"sgd", SgdOptions{.lr = 1e-42}},
                        {"momentum", SgdOptions{.lr = 1e-3, .momentum = 1e-42}},
                        {"adam", AdamOptions{.epsilon = 1e-46}},
                        {"adamw", AdamOptions{.lr = 1e-3, .epsilon = 1e39, .decoupled = true}},
                        {"lion", LionOptions{.lr = 1e-42}},
                        {"spam", SpamOptions{.threshold = 1e39, .reset_interval = 0, .quiet_steps = 1}}};
  for (const Kind& chosen : cases) {
    for (const DeviceTypes& types : testing::kDeviceTypes) {
      DevicePair pair(chosen, types.parameter, types.gradient, types.low_precision, false);
      std::mt19937_64 random(17);
      for (int step = 0; step < 4; ++step) {
        auto values = testing::exact_gradients(random, pair.host.parameters);
        values[1][3] = values[2][0] = 0.0;
        pair.step(values);
        pair.expect_same_bits(chosen.name);
      }
      EXPECT_EQ(pair.device.save().value(), pair.host.optimizer.save().value()) << chosen.name;
      for (const Values& all : pair.weights.values())
        for (const double value : all) ASSERT_TRUE(std::isfinite(value)) << chosen.name;
    }
  }
}

}  // namespace
}  // namespace gradstab
