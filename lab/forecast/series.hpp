// A table of numbers over time: what forecasting learns from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradstab::lab::forecast {

/// Several channels observed at the same times. Every value is finite.
struct Series {
  std::string name;                   ///< "ETTh1": the file's name without folder and endings
  std::vector<std::string> channels;  ///< their names, all different, in the order of the file
  std::vector<std::string> dates;     ///< as they stand in the file, one for each row; or none
  std::vector<double> values;         ///< [rows, channels], row-major
  std::string sha256;                 ///< of the file's bytes, 64 hexadecimal digits
  std::vector<std::string> notes;  ///< what whoever uses the data should know: "steps of other lengths ..."

  std::int64_t channel_count() const noexcept { return static_cast<std::int64_t>(channels.size()); }
  std::int64_t rows() const noexcept {
    return channels.empty() ? 0 : static_cast<std::int64_t>(values.size() / channels.size());
  }
  /// The date of a row, or "row 7".
  std::string time_of(std::int64_t row) const {
    return dates.empty() ? std::string("row ").append(std::to_string(row + 1))
                         : dates[static_cast<std::size_t>(row)];
  }
  double value(std::int64_t row, std::int64_t channel) const {
    return values[static_cast<std::size_t>(row * channel_count() + channel)];
  }
};

}  // namespace gradstab::lab::forecast
