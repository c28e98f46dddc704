// Gradients from the smallest subnormal number to the largest, and settings that float32 has not, against the
// plain optimizer in double.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gradstab/backend.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/flushed.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

constexpr int kSteps = 12;

struct Types {
  DType parameter;
  DType gradient;
  LowPrecision low_precision = LowPrecision::master_copy;
};

std::vector<Types> all_types() {
  std::vector<Types> types = {{DType::float64, DType::float64}};
  for (const DType gradient : {DType::float32, DType::float16, DType::bfloat16}) {
    types.push_back({DType::float32, gradient});
    types.push_back({DType::bfloat16, gradient});
    types.push_back({DType::bfloat16, gradient, LowPrecision::stochastic_rounding});
  }
  return types;
}

/// Of a gradient's largest element. Of float64 none whose norm over a tensor would be infinite.
std::vector<double> magnitudes(DType dtype) {
  const double smallest = smallest_positive(dtype);
  std::vector<double> result;
  for (const int exponent : {0, 5, 14, 21, 29}) result.push_back(std::ldexp(smallest, exponent));
  result.push_back(1.0);
  const double largest = dtype == DType::float64   ? 0x1p+1000
                         : dtype == DType::float16 ? 65504.0
                         : dtype == DType::float32 ? double{std::numeric_limits<float>::max()}
                                                   : 0x1.fep+127;
  result.insert(result.end(), {std::sqrt(largest), largest});
  return result;
}

/// Between -1 and 1, one of them 1, times `magnitude`.
std::vector<Values> gradients_of(std::mt19937_64& random, const ParameterSet& parameters, double magnitude) {
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  std::vector<Values> result;
  for (const Parameter& parameter : parameters) {
    Values& values = result.emplace_back(static_cast<std::size_t>(element_count(parameter.sizes)));
    for (double& value : values) value = uniform(random) * magnitude;
    values[random() % values.size()] = magnitude;
  }
  return result;
}

/// GradientStabilizer with its default settings, in units of `magnitude`.
class PlainStabilizer {
 public:
  double factor(double norm, double magnitude) {
    const double scaled = norm / magnitude;
    step_ += 1;
    first_ = 0.6 * first_ + 0.4 * scaled;
    second_ = 0.999 * second_ + 0.001 * scaled * scaled;
    const double mean = first_ / (1 - std::pow(0.6, step_));
    const double root = std::sqrt(second_ / (1 - std::pow(0.999, step_)));
    // Nothing is raised by more than the largest power of two.
    return std::fmin(mean / root / scaled / magnitude, 0x1p+1023);
  }

 private:
  double first_ = 0.0;
  double second_ = 0.0;
  int step_ = 0;
};

struct Comparison {
  std::string difference;  // of factors or parameters, in words
  double largest_factor = 0.0;
};

/// How far a parameter may be from the plain optimizer's: an error that grows with the run, as in
/// equality_test.cpp, and where it is stored in bfloat16 that of the last rounding, half a spacing of 2^-7 of
/// the value, or up to a whole one at random.
struct Tolerance {
  double run;
  double stored;

  Tolerance(const Types& types, double largest_value, double largest_step) {
    const double u = types.parameter == DType::float64 ? 0x1p-53 : 0x1p-24;
    constexpr double kAverages = 2 * 6 * 70 + 10;
    run = kSteps * u * (4 * largest_value + kAverages * largest_step);
    const bool random = types.low_precision == LowPrecision::stochastic_rounding;
    stored = types.parameter != DType::bfloat16 ? 0.0 : random ? 0x1p-7 : 0x1p-8;
  }
  bool allows(double actual, double expected) const {
    return std::fabs(actual - expected) <= run + stored * (std::fabs(expected) + run);
  }
};

/// Of the norm that a factor is made from: 16-bit gradients have two neighbours squared in float32, and norms
/// of units among the subnormal doubles have their spacing.
double norm_error(DType gradient, double norm) {
  return size_of(gradient) == 2 ? 0x1p-22 : 1e-12 + 16 * 0x1p-1074 / norm;
}

/// `wrong` multiplies the gradients of the plain optimizer and its learning rate: a negative control.
Comparison compare(const OptimizerOptions& options, const Types& types, const std::string& backend,
                   double magnitude, double wrong = 1.0) {
  const ParameterSet parameters = small_model();
  Training training(parameters, types.parameter, types.gradient, options, stabilize(),
                    {.run = {.backend = backend}, .low_precision = types.low_precision, .seed = 3});
  std::vector<PlainParameter> plain = plain_parameters(parameters);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i].value = training.weights.values(i);
  std::vector<PlainStabilizer> stabilizers(plain.size());
  std::mt19937_64 random(11);
  Comparison result;
  double largest_value = 0.0;
  double largest_step = 0.0;
  for (int step = 1; step <= kSteps; ++step) {
    // Each step rounds at random anew.
    if (types.low_precision == LowPrecision::stochastic_rounding) {
      for (std::size_t i = 0; i < plain.size(); ++i) plain[i].value = training.weights.values(i);
    }
    const StepReport report = training.step(gradients_of(random, parameters, magnitude));
    for (std::size_t i = 0; i < plain.size(); ++i) {
      Values gradient = training.gradients.values(i);
      const double norm = norm_of(gradient);
      const double factor = stabilizers[i].factor(norm, magnitude);
      const double reported = report.tensors[i].factor;
      if (!(std::fabs(reported - factor) <= norm_error(types.gradient, norm) * factor))
        result.difference = "factor " + std::to_string(reported / factor) + " times what was expected";
      result.largest_factor = std::fmax(result.largest_factor, factor);
      for (double& value : gradient) value *= wrong * reported;
      const Values before = plain[i].value;
      plain_step(plain[i], with_learning_rate(options, wrong * learning_rate(options)), gradient, step);
      for (std::size_t k = 0; k < before.size(); ++k) {
        largest_value = std::fmax(largest_value, std::fabs(before[k]));
        largest_step = std::fmax(largest_step, std::fabs(plain[i].value[k] - before[k]));
      }
    }
  }
  Tolerance tolerance(types, largest_value, largest_step);
  // Adam-mini divides by the norms of units, which among the subnormal doubles have half of their spacing.
  if (std::holds_alternative<AdamMiniOptions>(options) && types.gradient == DType::float64)
    tolerance.run += kSteps * largest_step * 0.5 * (smallest_positive(DType::float64) / magnitude);
  for (std::size_t i = 0; i < plain.size() && result.difference.empty(); ++i) {
    const Values actual = training.weights.values(i);
    for (std::size_t k = 0; k < actual.size(); ++k) {
      if (tolerance.allows(actual[k], plain[i].value[k])) continue;
      result.difference = std::to_string(actual[k]) + ", expected " + std::to_string(plain[i].value[k]);
    }
  }
  return result;
}

class NumberRangeTest : public ::testing::TestWithParam<Kind> {};

TEST_P(NumberRangeTest, AGradientOfAnySizeGivesTheStepOfItsDirection) {
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    for (const Types& types : all_types()) {
      double largest_factor = 0.0;
      for (const double magnitude : magnitudes(types.gradient)) {
        const auto what = ::testing::Message()
                          << backend->name() << ", " << to_string(types.parameter) << " from "
                          << to_string(types.gradient) << ", magnitude " << magnitude;
        const Comparison run = compare(GetParam().options, types, std::string(backend->name()), magnitude);
        EXPECT_EQ(run.difference, "") << what;
        largest_factor = std::fmax(largest_factor, run.largest_factor);
        EXPECT_NE(compare(GetParam().options, types, std::string(backend->name()), magnitude, 4.0).difference,
                  "")
            << what;
      }
      if (types.gradient == DType::float32 || types.gradient == DType::bfloat16) {
        EXPECT_GT(largest_factor, double{std::numeric_limits<float>::max()}) << "no factor beyond float32";
      }
    }
  }
}

/// A thread that flushes subnormal numbers to zero sees other gradients, but what it makes of them is finite.
TEST_P(NumberRangeTest, WhereSubnormalsAreFlushedToZeroResultsAreFinite) {
  if (!can_flush()) GTEST_SKIP() << "this processor's flag is not known here";
  for (const Backend* backend : backends()) {
    if (!backend->supported()) continue;
    for (const Types& types : all_types()) {
      for (const double magnitude : magnitudes(types.gradient)) {
        const ParameterSet parameters = small_model();
        Training training(parameters, types.parameter, types.gradient, GetParam().options, stabilize(),
                          {.run = {.backend = std::string(backend->name())}});
        std::mt19937_64 random(11);
        for (int step = 0; step < kSteps; ++step) {
          training.gradients.set_all(gradients_of(random, parameters, magnitude));
          // The measuring thread flushes, or the updating one, or both.
          if (step % 3 != 0) {
            for (std::size_t i = 0; i < parameters.size(); ++i)
              training.optimizer.measure_one(i, training.gradients.refs()[i]).check();
          }
          const FlushedToZero flushed(step % 3 != 2);
          training.optimizer.step(training.weights.refs(), training.gradients.refs()).value();
        }
        for (const Values& values : training.weights.values())
          for (const double value : values) ASSERT_TRUE(std::isfinite(value)) << backend->name() << magnitude;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, NumberRangeTest, ::testing::ValuesIn(all_kinds()),
                         [](const auto& test) { return test.param.name; });

/// Settings that float32 has not: nothing is lost, and nothing becomes infinite that is not.
struct SettingCase {
  const char* name;
  OptimizerOptions options;
  double parameter;  // what the elements start as, and
  double gradients;  // the size of those of the first step
  double later;      // and of the others
  int steps = 3;
};

std::vector<SettingCase> setting_cases() {
  AdamMiniOptions mini;
  mini.dim = 8;
  mini.n_heads = 2;
  mini.overrides = {{"*bias", AdamMiniUnit::tensor}};
  const auto adam_mini = [mini](double lr, double epsilon) {
    AdamMiniOptions options = mini;
    options.lr = lr;
    options.epsilon = epsilon;
    return options;
  };
  return {
      {"sgd_large_rate", SgdOptions{.lr = 1e39}, 0.5, 1e-39, 2e-39},
      {"sgd_small_rate", SgdOptions{.lr = 1e-42}, 1e-5, 1e37, 1e37},
      {"sgd_rate_that_vanishes", SgdOptions{.lr = 1e-46}, 0.0, 1e38, 1e38},
      {"sgd_large_decay", SgdOptions{.lr = 1e-39, .weight_decay = 4e38}, 0.5, 1e38, 1.0},
      {"momentum_small", SgdOptions{.lr = 1.0, .momentum = 1e-42}, 0.0, 1e37, 1e-6},
      {"dampening_large", SgdOptions{.lr = 1.0, .momentum = 0.9, .dampening = -1e39}, 0.0, 1e-3, 1e-41},
      {"adam_small_rate", AdamOptions{.lr = 1e-42}, 0.0, 1.0, 1.0},
      {"adam_small_epsilon", AdamOptions{.epsilon = 1e-46}, 0.0, 1.0, 1.0},
      {"adam_smaller_epsilon", AdamOptions{.epsilon = 1e-300}, 0.0, 1.0, 1.0},
      {"adam_large_epsilon", AdamOptions{.lr = 1e38, .epsilon = 1e39}, 0.0, 1.0, 1.0},
      {"adamw_large_decay", AdamOptions{.weight_decay = 1e42, .decoupled = true}, 1e-39, 1.0, 1.0, 1},
      {"amsgrad_small_epsilon", AdamOptions{.epsilon = 1e-46, .amsgrad = true}, 0.0, 1.0, 1.0},
      {"lion_small_rate", LionOptions{.lr = 1e-42}, 0.0, 1.0, 1.0},
      {"lion_large_decay", LionOptions{.weight_decay = 4e42}, 1e-39, 1.0, 1.0, 1},
      {"adam_mini_of_small_units", adam_mini(100.0, 0.0), 0.0, 4e-38, 4e-38},
      {"adam_mini_large_rate", adam_mini(1e38, 1e3), 0.0, 1e-3, 1e-3},
      {"spam_large_threshold", SpamOptions{.threshold = 1e39, .reset_interval = 0, .quiet_steps = 2}, 0.0,
       5e-18, 100.0},
  };
}

TEST(NumberRangeSettingsTest, WhatFloat32HasNotIsKept) {
  for (const SettingCase& chosen : setting_cases()) {
    for (const Backend* backend : backends()) {
      if (!backend->supported()) continue;
      SCOPED_TRACE(::testing::Message() << chosen.name << " on " << backend->name());
      const ParameterSet parameters = small_model();
      Training training(parameters, DType::float32, chosen.options, {},
                        {.run = {.backend = std::string(backend->name())}});
      std::vector<PlainParameter> plain = plain_parameters(parameters);
      for (std::size_t i = 0; i < plain.size(); ++i) {
        training.weights.set(i, Values(plain[i].value.size(), chosen.parameter));
        plain[i].value = training.weights.values(i);
        // Only units: of single elements, second moments of 1e-75 are 0 in float32.
        if (parameters[i].name.ends_with("bias")) plain[i].unit = plain[i].value.size();
      }
      std::mt19937_64 random(7);
      for (int step = 1; step <= chosen.steps; ++step) {
        const double size = step == 1 ? chosen.gradients : chosen.later;
        auto gradients = gradients_of(random, parameters, size);
        for (Values& values : gradients) {
          // None so small that its square is subnormal where the others' are not.
          for (double& value : values) value = (value + std::copysign(size, value)) / 2;
          if (values.size() > 1) values.front() = 0.0;
        }
        training.step(gradients);
        for (std::size_t i = 0; i < plain.size(); ++i)
          plain_step(plain[i], chosen.options, training.gradients.values(i), step);
      }
      bool moved = false;
      for (std::size_t i = 0; i < plain.size(); ++i) {
        const Values actual = training.weights.values(i);
        double largest = 0.0;
        for (const double value : plain[i].value) largest = std::fmax(largest, std::fabs(value));
        for (std::size_t k = 0; k < actual.size(); ++k) {
          // Parameter and states are float32: three steps at most, each rounded a few times, of numbers up to
          // the largest; below the normal range by half of 2^-149.
          ASSERT_NEAR(actual[k], plain[i].value[k], 64 * 0x1p-24 * largest + 4 * 0x1p-149)
              << "element " << k << " of " << parameters[i].name;
          moved = moved || std::fabs(plain[i].value[k] - chosen.parameter) > 1e-3 * largest;
        }
      }
      EXPECT_TRUE(moved);
    }
  }
}

}  // namespace
}  // namespace gradstab::testing
