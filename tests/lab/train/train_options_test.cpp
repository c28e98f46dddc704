// From the settings of a run to how operands are rounded.
#include "lab/train/train_options.hpp"

#include <gtest/gtest.h>

namespace gradstab::lab {
namespace {

TrainOptions with(const std::string& precision) {
  TrainOptions options;
  options.precision = precision;
  return options;
}

TEST(ProjectionQuantizersTest, OnlyFourBitPrecisionsHaveThem) {
  for (const char* precision : {"fp32", "bf16", "fp16"}) EXPECT_FALSE(projection_quantizers(with(precision)));
}

TEST(ProjectionQuantizersTest, Fp4RoundsBothOperandsAlike) {
  const auto e1m2 = projection_quantizers(with("fp4")).value();
  for (const QuantizerOptions& operand : {e1m2.weights, e1m2.activations}) {
    EXPECT_EQ(operand.format, QuantizerFormat::fp4_e1m2);
    EXPECT_EQ(operand.group_size, 256);
    EXPECT_EQ(operand.keep_largest, 0);
    EXPECT_EQ(operand.compat, Compat::robust);
    EXPECT_EQ(operand.rounding, QuantizerRounding::nearest_even);
  }
  TrainOptions options = with("fp4");
  options.fp4_format = "e2m1";
  options.quantization_group = 32;
  options.quantization_rounding = "stochastic";
  options.seed = 9;
  const auto e2m1 = projection_quantizers(options).value();
  for (const QuantizerOptions& operand : {e2m1.weights, e2m1.activations}) {
    EXPECT_EQ(operand.format, QuantizerFormat::fp4_e2m1);
    EXPECT_EQ(operand.group_size, 32);
    EXPECT_EQ(operand.rounding, QuantizerRounding::stochastic);
    EXPECT_EQ(operand.seed, 9u);
  }
}

TEST(ProjectionQuantizersTest, Int4HasAsymmetricWeightsAndKeepsTwoActivations) {
  const auto int4 = projection_quantizers(with("int4")).value();
  EXPECT_EQ(int4.weights.format, QuantizerFormat::int4_weight);
  EXPECT_EQ(int4.weights.keep_largest, 0);
  EXPECT_EQ(int4.activations.format, QuantizerFormat::int4_activation);
  EXPECT_EQ(int4.activations.keep_largest, 2);
}

TEST(ProjectionQuantizersTest, ReleasedIsWhatTheAuthorsTrainWith) {
  TrainOptions options = with("fp4");
  options.quantization_compat = "released";
  const auto fp4 = projection_quantizers(options).value();
  EXPECT_EQ(fp4.weights.compat, Compat::released);
  EXPECT_EQ(fp4.weights.keep_largest, 2);
  EXPECT_TRUE(options.validate().ok());
  options.precision = "int4";
  EXPECT_EQ(projection_quantizers(options).value().activations.compat, Compat::released);
  EXPECT_TRUE(options.validate().ok());
}

}  // namespace
}  // namespace gradstab::lab
