#include "lab/replay/numbers.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <limits>

namespace gradstab::lab {

Status corrupt(std::string message) {
  return {StatusCode::corrupt_data, std::move(message)};
}

std::optional<double> number(const Json& value) {
  if (const auto plain = as_number(value)) return plain;
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  return {};
}

template <class T>
Status read_numbers(const Json& list, std::size_t count, const std::string& what, std::vector<T>& values) {
  if (!list.is_array() || list.size() != count)
    return corrupt(fmt::format("{} must be a list of {} numbers", what, count));
  values.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = number(list[i]);
    if (!value) return corrupt(fmt::format("{} holds {}, expected a number", what, shown(list[i])));
    values[i] = static_cast<T>(static_cast<float>(*value));
  }
  return {};
}

Result<std::vector<std::int64_t>> read_shape(const Json& list, const std::string& what) {
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  if (!list.is_array())
    return corrupt(fmt::format("{} must be a list of whole numbers, got {}", what, shown(list)));
  std::vector<std::int64_t> sizes;
  std::int64_t elements = 1;
  for (const Json& size : list) {
    const auto value = as_unsigned(size);
    if (!value) return corrupt(fmt::format("{} holds {}, expected whole numbers", what, shown(size)));
    if (*value > static_cast<std::uint64_t>(kMost / std::max(elements, std::int64_t{1})))
      return corrupt(fmt::format("{} is {}, expected at most 2^40 elements", what, shown(list)));
    sizes.push_back(static_cast<std::int64_t>(*value));
    if (*value > 0) elements *= sizes.back();
  }
  return sizes;
}

template <class T>
void append(std::string& text, T value) {
  if (std::isfinite(value)) {
    fmt::format_to(std::back_inserter(text), "{}", value);
  } else {
    text += std::isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"";
  }
}

template <class T>
void append(std::string& text, std::span<const T> values) {
  text += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) text += ',';
    append(text, values[i]);
  }
  text += ']';
}

template Status read_numbers(const Json&, std::size_t, const std::string&, std::vector<float>&);
template Status read_numbers(const Json&, std::size_t, const std::string&, std::vector<double>&);
template void append(std::string&, float);
template void append(std::string&, double);
template void append(std::string&, std::span<const float>);
template void append(std::string&, std::span<const double>);

}  // namespace gradstab::lab
