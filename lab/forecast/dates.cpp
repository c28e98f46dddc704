#include "lab/forecast/dates.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace gradstab::lab::forecast {
namespace {

/// Reads what it is asked for from the front of a text.
class Front {
 public:
  explicit Front(std::string_view text) : rest_(text) {}

  /// A whole number of `least` to `most` digits.
  std::optional<int> number(std::size_t least, std::size_t most) {
    std::size_t digits = 0;
    while (digits < rest_.size() && digits <= most && rest_[digits] >= '0' && rest_[digits] <= '9') ++digits;
    if (digits < least || digits > most) return std::nullopt;
    int value = 0;
    std::from_chars(rest_.data(), rest_.data() + digits, value);
    rest_.remove_prefix(digits);
    return value;
  }
  /// The next byte, if it is one of these.
  char one_of(std::string_view bytes) {
    if (rest_.empty() || bytes.find(rest_.front()) == std::string_view::npos) return '\0';
    const char byte = rest_.front();
    rest_.remove_prefix(1);
    return byte;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace

std::optional<std::int64_t> parse_date(std::string_view text) {
  Front front(text);
  const auto year = front.number(4, 4);
  const char separator = front.one_of("-/");
  const auto month = year && separator != '\0' ? front.number(1, 2) : std::nullopt;
  const auto day = month && front.one_of({&separator, 1}) != '\0' ? front.number(1, 2) : std::nullopt;
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  std::int64_t seconds = std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86400};
  if (front.at_end()) return seconds;
  const bool has_time = front.one_of(" T") != '\0';
  const auto hour = has_time ? front.number(1, 2) : std::nullopt;
  const auto minute = hour && front.one_of(":") != '\0' ? front.number(2, 2) : std::nullopt;
  if (!minute || *hour > 23 || *minute > 59) return std::nullopt;
  seconds += *hour * 3600 + *minute * 60;
  if (front.at_end()) return seconds;
  const auto second = front.one_of(":") != '\0' ? front.number(2, 2) : std::nullopt;
  if (!second || *second > 59 || !front.at_end()) return std::nullopt;
  return seconds + *second;
}

std::string step_text(std::int64_t seconds) {
  struct Unit {
    std::int64_t seconds;
    std::string_view name;
  };
  for (const Unit& unit : {Unit{86400, "day"}, Unit{3600, "hour"}, Unit{60, "minute"}, Unit{1, "second"}}) {
    if (seconds % unit.seconds != 0) continue;
    const std::int64_t count = seconds / unit.seconds;
    return fmt::format("{} {}{}", count, unit.name, count == 1 ? "" : "s");
  }
  return {};
}

}  // namespace gradstab::lab::forecast
