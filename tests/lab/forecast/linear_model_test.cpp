#include "lab/forecast/linear_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

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
  EXPECT_EQ(model.weight().size(0), kHorizon);
  EXPECT_EQ(model.weight().size(1), kLookBack);
  const Batch all = gather_from(training_, 0, training_.count());
  const torch::Tensor inputs = all.inputs.to(torch::kDouble);
  const torch::Tensor targets = all.targets.to(torch::kDouble);
  const torch::Tensor mean = inputs.mean(-1, true);
  const torch::Tensor centred = (inputs - mean).reshape({-1, kLookBack});
  const auto rows = static_cast<double>(centred.size(0));
  // Half the gradient of the sum of squared errors and of the ridge, which vanishes where both are least.
  const auto largest_gradient = [&](const LinearModel& of) {
    const torch::Tensor error = (of.forecast(inputs) - targets).reshape({-1, kHorizon});
    return (error.t().matmul(centred) + ridge * rows * of.weight()).abs().max().item<double>();
  };
  // A sum over all rows in double is off by at most rows * 2^-53 of the sum of its magnitudes. There are
  // three: the products and the moments of the fit, and the gradient here. The Cholesky factors add less than
  // a fourth, for they come from sums of 24 terms.
  const torch::Tensor sizes = centred.abs();
  const torch::Tensor magnitudes =
      torch::matmul(sizes.t(), torch::matmul(sizes, model.weight().t().abs()) +
                                   (targets - mean).abs().reshape({-1, kHorizon}));
  const double bound = 4 * rows * 0x1p-53 * magnitudes.max().item<double>();
  EXPECT_LT(largest_gradient(model), bound);
  EXPECT_GT(largest_gradient(LinearModel::fit(training_, 1.0001 * ridge)), bound);
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
  const torch::Tensor error = forecast - all.targets.to(torch::kDouble);
  const double expected = error.square().mean().item<double>();
  // The score rounds a forecast to float, by 2^-24 of it, which moves the square of its error by 2 |error|
  // times that. A third of the bound is for the square of the rounding and for the sums in double.
  const double bound = 3 * 0x1p-24 * (error * forecast).abs().mean().item<double>();
  EXPECT_NEAR(model.score(test_).mean_squared_error(), expected, bound);
  const double of_another = LinearModel::fit(training_, 1e-3).score(test_).mean_squared_error();
  EXPECT_GT(std::abs(of_another - expected), bound);
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
  const auto error_at = [&](double ridge) {
    return LinearModel::fit(training_, ridge).score(test_).mean_squared_error();
  };
  // What is left is the rounding to float, half a unit each: of the target, of the window's mean, of every
  // value and the mean that it is centred on, and of the forecast. It was 6e-15, and at this ridge hardly
  // depends on it.
  const Batch all = gather_from(test_, 0, test_.count());
  const double roundoff =
      0x1p-24 * std::max(all.inputs.abs().max().item<double>(), all.targets.abs().max().item<double>());
  const double gain = LinearModel::fit(training_, 1e-9).weight().abs().sum(1).max().item<double>();
  const double bound = std::pow(roundoff * (3 + 2 * gain), 2);
  EXPECT_LT(error_at(1e-9), bound);
  EXPECT_GT(error_at(1e-6), bound) << "a ridge that holds the weights back";
}

}  // namespace
}  // namespace gradstab::lab::forecast
