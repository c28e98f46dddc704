#include "lab/forecast/parts.hpp"

#include <gtest/gtest.h>

#include "lab/forecast/standardization.hpp"
#include "lab/forecast/windows.hpp"
#include "tests/lab/forecast/test_series.hpp"

namespace gradstab::lab::forecast {
namespace {

std::int64_t windows_of(const Series& series, PartRows part, std::int64_t look_back, std::int64_t horizon) {
  StandardSeries standard;
  standard.channels = series.channel_count();
  standard.rows = series.rows();
  return Windows(standard, part, look_back, horizon).count();
}

TEST(PartsTest, TheTransformersAreSplitByMonths) {
  for (const char* name : {"ETTh1", "ETTh2"}) {
    const Series series = wavy_series(17420, 1, name);
    const Parts parts = split_rows(series, 336, 96).value();
    EXPECT_EQ(parts.training, (PartRows{0, 8640}));
    EXPECT_EQ(parts.validation, (PartRows{8640, 11520}));
    EXPECT_EQ(parts.test, (PartRows{11520, 14400}));
    EXPECT_EQ(parts.rule, std::string("12/4/4 months of ") + name);
    // As published for look-back 336 and horizon 96.
    EXPECT_EQ(windows_of(series, parts.training, 336, 96), 8209);
    EXPECT_EQ(windows_of(series, parts.validation, 336, 96), 2785);
    EXPECT_EQ(windows_of(series, parts.test, 336, 96), 2785);
  }
  const Parts minutes = split_rows(wavy_series(57600, 1, "ETTm2"), 336, 96).value();
  EXPECT_EQ(minutes.test, (PartRows{46080, 57600}));
}

TEST(PartsTest, OthersAreSplitByPercent) {
  const Series series = wavy_series(52696, 1, "weather");
  const Parts parts = split_rows(series, 336, 96).value();
  EXPECT_EQ(parts.training, (PartRows{0, 36887}));
  EXPECT_EQ(parts.validation, (PartRows{36887, 42157}));
  EXPECT_EQ(parts.test, (PartRows{42157, 52696}));
  EXPECT_EQ(parts.test.end - parts.test.begin, 10539);
  EXPECT_EQ(windows_of(series, parts.training, 336, 96), 36456);
  EXPECT_EQ(windows_of(series, parts.validation, 336, 96), 5175);
  EXPECT_EQ(windows_of(series, parts.test, 336, 96), 10444);
}

TEST(PartsTest, TooFewRowsAreCounted) {
  const auto message = [](std::int64_t rows, const char* name, std::int64_t look_back, std::int64_t horizon) {
    const auto parts = split_rows(wavy_series(rows, 1, name), look_back, horizon);
    EXPECT_FALSE(parts.ok());
    if (parts.ok()) return std::string("accepted");
    EXPECT_EQ(parts.status().code(), StatusCode::invalid_argument);
    return parts.status().message();
  };
  EXPECT_EQ(
      message(600, "short", 336, 96),
      "'short' has 600 rows, of which the training part has 420; it needs look-back + horizon = 432 at least "
      "for one window");
  EXPECT_EQ(
      message(800, "short", 336, 96),
      "'short' has 800 rows, of which the validation part has 80; it needs the horizon = 96 at least for one "
      "window");
  EXPECT_EQ(
      message(14399, "ETTh1", 336, 96),
      "'ETTh1' has 14399 rows, but a series of this name is split by months and needs 14400; give another "
      "series another name");
  EXPECT_EQ(message(800, "short", 0, 96), "look-back and horizon must be at least 1, got 0 and 96");
  // One window each is enough.
  const auto parts = split_rows(wavy_series(960, 1, "enough"), 576, 96);
  ASSERT_TRUE(parts.ok()) << parts.status().message();
  EXPECT_EQ(windows_of(wavy_series(960, 1), parts->validation, 576, 96), 1);
}

TEST(StandardizationTest, UsesTheTrainingPartAlone) {
  Series series = wavy_series(100, 2);
  const PartRows training{0, 70};
  const auto before = Standardization::of(series, training);
  double sum = 0;
  double squares = 0;
  for (std::int64_t row = 0; row < 70; ++row) sum += series.value(row, 1);
  for (std::int64_t row = 0; row < 70; ++row) squares += std::pow(series.value(row, 1) - sum / 70, 2);
  EXPECT_NEAR(before.means[1], sum / 70, 1e-12);
  EXPECT_NEAR(before.deviations[1], std::sqrt(squares / 70), 1e-12);

  series.values[2 * 70] += 1000;  // the first row that is not for training
  const auto after = Standardization::of(series, training);
  EXPECT_EQ(after.means, before.means);
  EXPECT_EQ(after.deviations, before.deviations);
  EXPECT_EQ(StandardSeries::of(series, after, training)->training_maximum,
            StandardSeries::of(wavy_series(100, 2), before, training)->training_maximum);
  series.values[2 * 69] += 1000;  // the last one that is
  EXPECT_NE(Standardization::of(series, training).means, before.means);
}

TEST(StandardizationTest, AConstantChannelBecomesZero) {
  Series series = wavy_series(100, 2);
  for (std::int64_t row = 0; row < 70; ++row) series.values[static_cast<std::size_t>(2 * row)] = 0.1;
  for (std::int64_t row = 70; row < 100; ++row) series.values[static_cast<std::size_t>(2 * row)] = 0.6;
  const auto scale = Standardization::of(series, {0, 70});
  EXPECT_EQ(scale.means[0], 0.1);
  EXPECT_EQ(scale.deviations[0], 1);
  const StandardSeries standard = StandardSeries::of(series, scale, {0, 70}).value();
  EXPECT_EQ(standard.channel(0)[0], 0);
  EXPECT_EQ(standard.channel(0)[99], 0.5F);
}

TEST(StandardizationTest, ValuesBeyondF32AreRefused) {
  Series series = wavy_series(100, 2);
  for (std::int64_t row = 0; row < 70; ++row) series.values[static_cast<std::size_t>(2 * row)] = 0.5;
  series.values[2 * 75] = 1e11;  // of a constant channel, whose deviation counts as 1
  EXPECT_TRUE(StandardSeries::of(series, Standardization::of(series, {0, 70}), {0, 70}).ok());
  series.values[2 * 75] = 1e13;
  const auto refused = StandardSeries::of(series, Standardization::of(series, {0, 70}), {0, 70});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(
      refused.status().message(),
      "'waves': column 'c0' is 10000000000000 in row 76 of the numbers, 1e+13 standard deviations of the "
      "training part from its mean; expected 1e+12 at most");
}

TEST(StandardizationTest, TheMaximumIsTheLargestTrainingValue) {
  const Series series = wavy_series(100, 3);
  const StandardSeries standard =
      StandardSeries::of(series, Standardization::of(series, {0, 70}), {0, 70}).value();
  float largest = -1e9F;
  for (std::int64_t c = 0; c < 3; ++c)
    for (std::int64_t row = 0; row < 70; ++row) largest = std::max(largest, standard.channel(c)[row]);
  EXPECT_FLOAT_EQ(static_cast<float>(standard.training_maximum), largest);
}

}  // namespace
}  // namespace gradstab::lab::forecast
