#include "lab/forecast/forecast_data.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "lab/forecast/read_series.hpp"
#include "lab/forecast/trivial_predictors.hpp"

namespace gradstab::lab::forecast {
namespace {

std::string part_text(const ForecastData& data, PartRows rows, const Windows& windows) {
  return fmt::format("{} rows from {} to {}, {} windows", rows.end - rows.begin,
                     data.series.time_of(rows.begin), data.series.time_of(rows.end - 1), windows.count());
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
      {"last value", to_string(score_last_value(data.test)) + " over the test part"},
      {"window mean", to_string(score_window_mean(data.test)) + " over the test part"},
      {"sha256", series.sha256}};
  for (const std::string& note : series.notes) report.emplace_back("note", note);
  return report;
}

}  // namespace gradstab::lab::forecast
