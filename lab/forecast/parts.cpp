#include "lab/forecast/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace gradstab::lab::forecast {
namespace {

struct Transformer {
  std::string_view name;
  std::int64_t rows_per_day;
};
constexpr std::array kTransformers = {Transformer{"ETTh1", 24}, Transformer{"ETTh2", 24},
                                      Transformer{"ETTm1", 96}, Transformer{"ETTm2", 96}};
constexpr std::int64_t kDaysPerMonth = 30;

}  // namespace

Result<Parts> split_rows(const Series& series, std::int64_t look_back, std::int64_t horizon) {
  if (look_back < 1 || horizon < 1)
    return Status(StatusCode::invalid_argument,
                  fmt::format("look-back and horizon must be at least 1, got {} and {}", look_back, horizon));
  const std::int64_t rows = series.rows();
  const auto refuse = [&](std::string_view what) {
    return Status(StatusCode::invalid_argument, fmt::format("'{}' has {} rows, {}", series.name, rows, what));
  };
  Parts parts;
  const auto transformer = std::ranges::find(kTransformers, series.name, &Transformer::name);
  if (transformer != kTransformers.end()) {
    const std::int64_t month = kDaysPerMonth * transformer->rows_per_day;
    parts = {{0, 12 * month}, {12 * month, 16 * month}, {16 * month, 20 * month}, {}};
    parts.rule = fmt::format("12/4/4 months of {}", series.name);
    if (rows < parts.test.end)
      return refuse(fmt::format(
          "but a series of this name is split by months and needs {}; give another series another name",
          parts.test.end));
  } else {
    const std::int64_t training = rows * 7 / 10;
    const std::int64_t test = rows * 2 / 10;
    parts = {{0, training}, {training, rows - test}, {rows - test, rows}, "70/10/20 percent"};
  }
  struct Need {
    std::string_view name;
    PartRows part;
    std::int64_t rows;
    std::string_view reason;
  };
  for (const Need& need : {Need{"training", parts.training, look_back + horizon, "look-back + horizon"},
                           Need{"validation", parts.validation, horizon, "the horizon"},
                           Need{"test", parts.test, horizon, "the horizon"}})
    if (const std::int64_t there = need.part.end - need.part.begin; there < need.rows)
      return refuse(fmt::format("of which the {} part has {}; it needs {} = {} at least for one window",
                                need.name, there, need.reason, need.rows));
  return parts;
}

}  // namespace gradstab::lab::forecast
