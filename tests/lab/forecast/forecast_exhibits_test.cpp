#include "lab/forecast/forecast_exhibits.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "lab/forecast/linear_model.hpp"
#include "lab/forecast/parts.hpp"
#include "lab/forecast/trivial_predictors.hpp"
#include "tests/lab/forecast/test_series.hpp"

namespace gradstab::lab::forecast {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kLookBack = 24;
constexpr std::int64_t kHorizon = 6;

class ForecastExhibitsTest : public ::testing::Test {
 protected:
  static Series dated(Series series) {
    for (std::int64_t row = 0; row < series.rows(); ++row)
      series.dates.push_back("day " + std::to_string(row));
    return series;
  }
  Json exhibits() const {
    const Forecaster last = [](const torch::Tensor& inputs) {
      return inputs.narrow(2, kLookBack - 1, 1).expand({inputs.size(0), inputs.size(1), kHorizon});
    };
    return forecast_exhibits(series_, last, score(last, test_, test_.count(), 32),
                             LinearModel::fit(training_).score(test_), test_);
  }

  const Series series_ = dated(wavy_series(600, 5));
  const Parts parts_ = split_rows(series_, kLookBack, kHorizon).value();
  const StandardSeries standard_ =
      StandardSeries::of(series_, Standardization::of(series_, parts_.training), parts_.training).value();
  const Windows training_{standard_, parts_.training, kLookBack, kHorizon};
  const Windows test_{standard_, parts_.test, kLookBack, kHorizon};
};

TEST_F(ForecastExhibitsTest, TheTableHasTheScores) {
  const Json table = exhibits().at(0);
  EXPECT_EQ(table.at("kind"), "table");
  const auto row = [](const char* name, const Score& of) {
    return Json{name, fmt::format("{:.4f}", of.mean_squared_error()),
                fmt::format("{:.4f}", of.mean_absolute_error())};
  };
  // The forecaster of this test is the last value.
  EXPECT_EQ(table.at("rows").at(0), row("PatchTST", score_last_value(test_)));
  EXPECT_EQ(table.at("rows").at(1), row("linear model", LinearModel::fit(training_).score(test_)));
  EXPECT_EQ(table.at("rows").at(2), row("last value", score_last_value(test_)));
  EXPECT_EQ(table.at("rows").at(3), row("mean of the window", score_window_mean(test_)));
  EXPECT_NE(table.at("rows").at(2).at(1), table.at("rows").at(3).at(1));
}

TEST_F(ForecastExhibitsTest, LinesAreTheNumbersOfTheWindow) {
  const Json all = exhibits();
  ASSERT_EQ(all.size(), 4u);
  const std::int64_t index = test_.count() / 2;
  const std::int64_t row = test_.first_target_row(index);
  EXPECT_EQ(test_.input(index, 0) + kLookBack, standard_.channel(0) + row);
  for (const auto& [place, channel] : {std::pair{1, 0}, {2, 2}, {3, 4}}) {
    const Json& lines = all.at(static_cast<std::size_t>(place));
    EXPECT_EQ(lines.at("title"), "Forecast of c" + std::to_string(channel) + ".");
    EXPECT_NE(lines.at("caption").get<std::string>().find("steps from day " + std::to_string(row)),
              std::string::npos);
    constexpr std::int64_t kSeen = 2 * kHorizon;
    ASSERT_EQ(lines.at("x").size(), static_cast<std::size_t>(kSeen + kHorizon));
    EXPECT_EQ(lines.at("x").front(), -kSeen);
    EXPECT_EQ(lines.at("x").back(), kHorizon - 1);
    for (std::int64_t i = 0; i < kSeen + kHorizon; ++i) {
      const auto at = [&](std::size_t which) {
        return lines.at("lines").at(which).at("y").at(static_cast<std::size_t>(i));
      };
      const float value = standard_.channel(channel)[row - kSeen + i];
      const float last = standard_.channel(channel)[row - 1];
      EXPECT_EQ(at(0), i < kSeen ? Json(value) : Json()) << i;
      EXPECT_EQ(at(1), i < kSeen ? Json() : Json(value)) << i;
      EXPECT_EQ(at(2), i < kSeen ? Json() : Json(last)) << i;
    }
  }
}

}  // namespace
}  // namespace gradstab::lab::forecast
