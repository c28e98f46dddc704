#include "lab/forecast/read_series.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <system_error>
#include <utility>

#include "lab/forecast/csv.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"
#include "lab/support/sha256.hpp"

namespace gradstab::lab::forecast {

namespace fs = std::filesystem;

Result<fs::path> locate_series(std::string_view source, std::span<const std::string_view> places) {
  if (source.empty())
    return Status(StatusCode::invalid_argument,
                  fmt::format("the data source is empty, expected '{}' or the path of a CSV file",
                              kEarthOrientationSource));
  if (source != kEarthOrientationSource) return fs::path(source);
  std::error_code ignored;
  for (const std::string_view place : places)
    if (fs::exists(place, ignored)) return fs::path(place);
  return Status(StatusCode::io_error,
                fmt::format("the table of the Earth's orientation was not found; install the Debian package "
                            "python3-astropy, or extract the file from it with tools/earth_orientation.sh "
                            "FILE and pass FILE, or pass a table of your own; looked for '{}'",
                            fmt::join(places, "', '")));
}

Result<Series> read_series(std::string_view source, std::span<const std::string_view> places) {
  const auto located = locate_series(source, places);
  if (!located) return located.status();
  const fs::path& path = *located;
  auto bytes = read_file(path, kSeriesFile);
  if (!bytes) return bytes.status();
  Sha256 sha256;
  sha256.update(*bytes);
  auto text = unpacked(*std::move(bytes), kSeriesFile.max_bytes);
  if (!text)
    return Status(text.status().code(), fmt::format("'{}': {}", path.string(), text.status().message()));
  const std::string name = path.filename().string();
  if (source == kEarthOrientationSource || is_earth_orientation(*text)) {
    Result<Series> series = parse_earth_orientation(*text, name);
    if (series) series->sha256 = to_hex(sha256.digest());
    return series;
  }
  Result<Series> series = parse_csv(*text, name);
  if (!series) return series;
  const fs::path plain = path.extension() == ".gz" ? path.stem() : path.filename();
  series->name = plain.stem().string();
  series->sha256 = to_hex(sha256.digest());
  return series;
}

}  // namespace gradstab::lab::forecast
