#include "lab/forecast/linear_model.hpp"

#include <gtest/gtest.h>

#include "lab/forecast/batches.hpp"
#include "lab/forecast/trivial_predictors.hpp"
#include "tests/lab/forecast/test_series.hpp"

namespace gradstab::lab::forecast {
namespace {

constexpr std::int64_t kLookBack = 24;
constexpr std::int64_t kHorizon = 6;

class LinearModelTest : public ::testing::Test {
 protected:
  explicit LinearModelTest(double noise = 0.3) : series_(wavy_series(600, 2, "waves", noise)) {}
  const Series series_;
  const Parts parts_ = split_rows(series_, kLookBack, kHorizon).value();
  const StandardSeries standard_ =
      StandardSeries::of(series_, Standardization::of(series_, parts_.training), parts_.training).value();
  const Windows training_{standard_, parts_.training, kLookBack, kHorizon};
  const Windows test_{standard_, parts_.test, kLookBack, kHorizon};
};

TEST_F(LinearModelTest, SolvesTheNormalEquations) {
  const double ridge = 1e-3;
  const LinearModel model = LinearModel::fit(training_, ridge);
  const Batch all = gather_from(training_, 0, training_.count());
  const torch::Tensor inputs = all.inputs.to(torch::kDouble);
  const torch::Tensor mean = inputs.mean(-1, true);
  const torch::Tensor centred = (inputs - mean).reshape({-1, kLookBack});
  const torch::Tensor error =
      (model.forecast(inputs) - all.targets.to(torch::kDouble)).reshape({-1, kHorizon});
  // The gradient of the sum of squared errors and of the ridge vanishes.
  const torch::Tensor gradient =
      error.t().matmul(centred) + ridge * static_cast<double>(error.size(0)) * model.weight();
  EXPECT_LT(gradient.abs().max().item<double>(), 1e-9 * static_cast<double>(error.size(0)));
  EXPECT_EQ(model.weight().size(0), kHorizon);
  EXPECT_EQ(model.weight().size(1), kLookBack);
}

// An independent program found 0.48 to 0.65 of the last value's error in eight draws of the noise, and 0.24
// to 0.35 of the window mean's.
TEST_F(LinearModelTest, BeatsTheTrivialPredictorsOnWaves) {
  const double linear = LinearModel::fit(training_).score(test_).mean_squared_error();
  EXPECT_LT(linear, 0.7 * score_last_value(test_).mean_squared_error());
  EXPECT_LT(linear, 0.5 * score_window_mean(test_).mean_squared_error());
}

TEST_F(LinearModelTest, TheScoreIsThatOfItsForecasts) {
  const LinearModel model = LinearModel::fit(training_);
  const Batch all = gather_from(test_, 0, test_.count());
  const torch::Tensor forecast = model.forecast(all.inputs.to(torch::kDouble));
  EXPECT_NEAR(model.score(test_).mean_squared_error(),
              (forecast - all.targets).square().mean().item<double>(), 1e-6);
  EXPECT_EQ(model.score(test_).count(), all.targets.numel());
}

TEST_F(LinearModelTest, ARidgeOfNothingThrows) {
  EXPECT_THROW(LinearModel::fit(training_, 0), c10::Error);
}

class NoiselessTest : public LinearModelTest {
 protected:
  NoiselessTest() : LinearModelTest(0) {}
};

TEST_F(NoiselessTest, AWaveIsLinearInItsPast) {
  EXPECT_LT(LinearModel::fit(training_, 1e-9).score(test_).mean_squared_error(), 1e-4);
}

}  // namespace
}  // namespace gradstab::lab::forecast
