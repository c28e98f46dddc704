// fake_quantize against the authors' quantizers and an independent float64 program.
#include <gtest/gtest.h>

#include <algorithm>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "lab/quantize/fake_quantize.hpp"
#include "quantized.hpp"

namespace gradstab::lab {
namespace {

using fixture::difference;
using fixture::Values;
using nlohmann::json;
using testing::quantize;
using testing::Quantized;

struct Golden {
  std::string method;
  std::string name;
};

bool begins_with(const std::string& text, const char* start) {
  return text.rfind(start, 0) == 0;
}

/// Whose rules a case follows is in its name.
QuantizerOptions options_of(const Golden& golden, const json& hyper) {
  QuantizerOptions options = golden.method == "fp4_e1m2"   ? QuantizerOptions::e1m2()
                             : golden.method == "fp4_e2m1" ? QuantizerOptions::e2m1()
                             : begins_with(golden.name, "weight_asymmetric/")
                                 ? QuantizerOptions::int4_weights()
                                 : QuantizerOptions::int4_activations();
  if (begins_with(golden.name, "released/")) options = QuantizerOptions::released_fp4();
  if (golden.method == "int4") options.compat = Compat::released;
  if (begins_with(golden.name, "activation_symmetric_stochastic/"))
    options.rounding = QuantizerRounding::stochastic;
  options.group_size = hyper.value("group", std::int64_t{64});
  options.keep_largest = hyper.value("topk", std::int64_t{0});
  options.fixed_scale = hyper.value("scale", 0.0);
  return options;
}

template <class T>
std::vector<T> numbers(const json& list) {
  const Values values = fixture::to_float32_values(list);
  return {values.begin(), values.end()};
}

template <class T>
Values widened(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

template <class T>
constexpr double kTolerance = sizeof(T) == sizeof(double) ? 1e-12 : 1e-6;
template <class T>
const std::string kSuffix = sizeof(T) == sizeof(double) ? "64" : "32";

std::string named(const ::testing::TestParamInfo<Golden>& test) {
  std::string text = test.param.method + "_" + test.param.name;
  std::ranges::replace_if(
      text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return text;
}

constexpr const char* kLinear = "released/linear_forward_backward";

/// Cases whose name holds either text, those of a linear layer only if it is asked for.
std::vector<Golden> cases(const std::string& text, const std::string& or_text = kLinear) {
  std::vector<Golden> list;
  for (const char* method : {"fp4_e1m2", "fp4_e2m1", "int4"}) {
    for (const std::string& name : fixture::case_names(method)) {
      const bool wanted = name.find(text) != std::string::npos || name.find(or_text) != std::string::npos;
      if (wanted && (name == kLinear) == (text == kLinear)) list.push_back({method, name});
    }
  }
  return list;
}

class QuantizerGoldenTest : public ::testing::TestWithParam<Golden> {
 protected:
  const json golden_ = fixture::load_plain_case(GetParam().method, GetParam().name);
  const QuantizerOptions options_ = options_of(GetParam(), golden_.at("hyper"));

  template <class T>
  Quantized<T> quantized(const QuantizerOptions& options) const {
    return quantize(
        numbers<T>(golden_.at("input")), options, 0,
        golden_.contains("uniform_noise") ? numbers<T>(golden_.at("uniform_noise")) : std::vector<T>());
  }

  /// What of the recording these values, codes, scales and zero points are not.
  template <class T>
  std::string first_difference(const Quantized<T>& got) const {
    const std::string of_type = "out" + kSuffix<T>;
    const Values expected = fixture::to_values(golden_.at(golden_.contains(of_type)   ? of_type
                                                          : golden_.contains("out64") ? "out64"
                                                                                      : "out32"));
    std::string differs = difference(widened(got.values), expected, kTolerance<T>);
    if (golden_.contains("code")) {
      // Recorded with their sign where the scale is fixed, without where groups have their own.
      const int bits = options_.fixed_scale > 0.0 || options_.format == QuantizerFormat::int4_weight ? 15 : 7;
      for (std::size_t i = 0; i < got.codes.size(); ++i) {
        if ((got.codes[i] & bits) != golden_.at("code").at(i)) return differs + " code " + std::to_string(i);
      }
    }
    for (const char* key : {"scale32", "scale64"}) {
      if (!golden_.contains(key)) continue;
      const double tolerance = std::string(key) == "scale64" ? kTolerance<T> : 1e-6;
      differs += difference(widened(got.scales), fixture::to_values(golden_.at(key)), tolerance);
    }
    if (golden_.contains("zero"))
      differs += difference(widened(got.zero_points), fixture::to_values(golden_.at("zero")), 0.0);
    return differs;
  }
};

TEST_P(QuantizerGoldenTest, FloatsAreTheRecordedOnes) {
  EXPECT_EQ(first_difference(quantized<float>(options_)), "");
}

TEST_P(QuantizerGoldenTest, DoublesAreTheRecordedOnes) {
  EXPECT_EQ(first_difference(quantized<double>(options_)), "");
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerGoldenTest, ::testing::ValuesIn(cases("")), named);

/// Without the authors' rules a group comes out the same, unless they spoil it: a group of one sign, or one
/// below the floor of the scale.
class RobustQuantizerGoldenTest : public QuantizerGoldenTest {};

TEST_P(RobustQuantizerGoldenTest, DiffersFromTheReleasedFormOnlyWhereThatSpoilsAGroup) {
  QuantizerOptions robust = options_;
  robust.compat = Compat::robust;
  bool spoilt = GetParam().name == "weight_asymmetric/all_positive_group";
  for (const char* part : {"tiny", "all_zero_group"})
    spoilt |= GetParam().name.find(part) != std::string::npos;
  EXPECT_EQ(first_difference(quantized<float>(robust)) != "", spoilt);
  EXPECT_EQ(first_difference(quantized<double>(robust)) != "", spoilt);
}

INSTANTIATE_TEST_SUITE_P(All, RobustQuantizerGoldenTest,
                         ::testing::ValuesIn(cases("_symmetric", "weight_asymmetric")), named);

class QuantizerControlTest : public QuantizerGoldenTest {};

TEST_P(QuantizerControlTest, AnotherGroupSizeOrFormatIsSeen) {
  QuantizerOptions halves = options_;
  halves.group_size /= 2;
  QuantizerOptions other = options_;
  other.format =
      options_.format == QuantizerFormat::fp4_e2m1 ? QuantizerFormat::fp4_e1m2 : QuantizerFormat::fp4_e2m1;
  EXPECT_NE(first_difference(quantized<float>(halves)), "");
  EXPECT_NE(first_difference(quantized<double>(halves)), "");
  EXPECT_NE(first_difference(quantized<float>(other)), "");
  EXPECT_NE(first_difference(quantized<double>(other)), "");
}

INSTANTIATE_TEST_SUITE_P(All, QuantizerControlTest, ::testing::ValuesIn(cases("/normal")), named);

/// Forward and straight-through backward of a linear layer with quantized input and weight.
template <class T>
std::string linear_difference(const json& golden, const QuantizerOptions& options) {
  const auto bias = numbers<T>(golden.at("bias"));
  const auto grad = numbers<T>(golden.at("grad_out"));
  const auto x = quantize(numbers<T>(golden.at("x")), options).values;
  const auto weight = quantize(numbers<T>(golden.at("weight")), options).values;
  const std::size_t outs = bias.size();
  const std::size_t rows = grad.size() / outs;
  const std::size_t ins = weight.size() / outs;
  std::vector<T> y(rows * outs), dx(rows * ins), dw(outs * ins), db(outs);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < outs; ++o) {
      y[r * outs + o] = bias[o];
      db[o] += grad[r * outs + o];
      for (std::size_t i = 0; i < ins; ++i) {
        y[r * outs + o] += x[r * ins + i] * weight[o * ins + i];
        dx[r * ins + i] += grad[r * outs + o] * weight[o * ins + i];
        dw[o * ins + i] += grad[r * outs + o] * x[r * ins + i];
      }
    }
  }
  // Sums of 256 products in either order: 256 roundings, of which a hundredth is seen in practice.
  const double tolerance = sizeof(T) == sizeof(double) ? 1e-12 : 4e-6;
  std::string differs;
  for (const auto& [key, values] :
       {std::pair("y", y), std::pair("dx", dx), std::pair("dw", dw), std::pair("db", db)})
    differs += difference(widened(values), fixture::to_values(golden.at(key + kSuffix<T>)), tolerance);
  return differs;
}

class QuantizedLinearGoldenTest : public ::testing::TestWithParam<Golden> {
 protected:
  const json golden_ = fixture::load_plain_case(GetParam().method, GetParam().name);
  const QuantizerOptions options_ = options_of(GetParam(), golden_.at("hyper"));
};

TEST_P(QuantizedLinearGoldenTest, ForwardAndBackwardAreTheRecordedOnes) {
  EXPECT_EQ(linear_difference<float>(golden_, options_), "");
  EXPECT_EQ(linear_difference<double>(golden_, options_), "");
}

TEST_P(QuantizedLinearGoldenTest, ALayerOfAnotherGridIsSeen) {
  EXPECT_NE(linear_difference<float>(golden_, QuantizerOptions::e1m2()), "");
  EXPECT_NE(linear_difference<double>(golden_, QuantizerOptions::e1m2()), "");
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedLinearGoldenTest, ::testing::ValuesIn(cases(kLinear)), named);

}  // namespace
}  // namespace gradstab::lab
