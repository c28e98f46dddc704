// A series by the name that a user gives.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/forecast/earth_orientation.hpp"
#include "lab/forecast/series.hpp"

namespace gradstab::lab::forecast {

/// The file of `source`: its path, or for "earth-orientation" the first of `places` that exists. Errors:
/// invalid_argument for an empty name; io_error where there is no table of the Earth's orientation, which
/// says how to get one.
Result<std::filesystem::path> locate_series(
    std::string_view source, std::span<const std::string_view> places = kEarthOrientationPlaces);

/// The series in that file: a CSV table or a C04 table, which is seen by the heading, either one also
/// gzip-compressed. `places` is there for tests. Errors: those of locate_series; io_error for a file that
/// cannot be read; corrupt_data as csv.hpp and earth_orientation.hpp say.
Result<Series> read_series(std::string_view source,
                           std::span<const std::string_view> places = kEarthOrientationPlaces);

}  // namespace gradstab::lab::forecast
