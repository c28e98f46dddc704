// Which rows of a series are for training, validation and test.
#pragma once

#include <cstdint>
#include <string>

#include "gradstab/status.hpp"
#include "lab/forecast/series.hpp"

namespace gradstab::lab::forecast {

/// The part of a series whose values are forecast: rows [begin, end).
struct PartRows {
  std::int64_t begin = 0, end = 0;
  bool operator==(const PartRows&) const = default;
};

/// The three parts of a series, in the order of time.
struct Parts {
  PartRows training, validation, test;
  std::string rule;  ///< how they were chosen: "12/4/4 months of ETTh1" or "70/10/20 percent"
};

/// Borders as published (Zhou et al. 2021 for ETT; Wu et al. 2021 for all others):
///   - a series named ETTh1 or ETTh2 (hourly), ETTm1 or ETTm2 (every quarter of an hour): 12, 4 and 4 months
///   of
///     30 days; later rows are not used;
///   - any other: the first 70 % of the rows, rounded down, for training, the last 20 %, rounded down, for
///   test,
///     and what is between for validation.
/// Validation and test windows look back across the beginning of their part. So a part has as many windows as
/// rows minus horizon plus 1; of the training part the first look_back rows can only be looked back at.
/// Errors: invalid_argument where a part has no window, with the rows that are there and that are needed.
Result<Parts> split_rows(const Series& series, std::int64_t look_back, std::int64_t horizon);

}  // namespace gradstab::lab::forecast
