#include "lab/forecast/forecast_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "lab/forecast/read_series.hpp"
#include "lab/forecast/trivial_predictors.hpp"

namespace gradstab::lab::forecast {
namespace {

std::string part_text(const ForecastData& data, PartRows rows, const Windows& windows) {
  const auto day = [&](std::int64_t row) {
    return data.series.dates.empty() ? fmt::format("row {}", row + 1)
                                     : data.series.dates[static_cast<std::size_t>(row)];
  };
  return fmt::format("{} rows from {} to {}, {} windows", rows.end - rows.begin, day(rows.begin),
                     day(rows.end - 1), windows.count());
}

std::string score_text(const Score& score) {
  return fmt::format("MSE {:.4f}, MAE {:.4f} over the test part", score.mean_squared_error(),
                     score.mean_absolute_error());
}

}  // namespace

ForecastData::ForecastData(Series the_series, Parts the_parts, StandardSeries numbers,
                           const ForecastSettings& settings)
    : series(std::move(the_series)),
      parts(std::move(the_parts)),
      standard(std::move(numbers)),
      training(standard, parts.training, settings.look_back, settings.horizon),
      validation(standard, parts.validation, settings.look_back, settings.horizon),
      test(standard, parts.test, settings.look_back, settings.horizon) {}

Result<std::unique_ptr<const ForecastData>> read_forecast_data(const ForecastSettings& settings) {
  auto series = read_series(settings.data);
  if (!series) return series.status();
  auto parts = split_rows(*series, settings.look_back, settings.horizon);
  if (!parts) return parts.status();
  auto standard = StandardSeries::of(*series, Standardization::of(*series, parts->training), parts->training);
  if (!standard) return standard.status();
  return std::unique_ptr<const ForecastData>(
      std::make_unique<ForecastData>(*std::move(series), *std::move(parts), *std::move(standard), settings));
}

DataReport data_report(const ForecastData& data) {
  const Series& series = data.series;
  DataReport report = {
      {"series", series.name},
      {"rows", fmt::format("{}", series.rows())},
      {"channels", fmt::format("{}: {}", series.channel_count(), fmt::join(series.channels, ", "))},
      {"parts", data.parts.rule},
      {"training", part_text(data, data.parts.training, data.training)},
      {"validation", part_text(data, data.parts.validation, data.validation)},
      {"test", part_text(data, data.parts.test, data.test)},
      {"last value", score_text(score_last_value(data.test))},
      {"window mean", score_text(score_window_mean(data.test))},
      {"sha256", series.sha256}};
  for (const std::string& note : series.notes) report.emplace_back("note", note);
  return report;
}

}  // namespace gradstab::lab::forecast
