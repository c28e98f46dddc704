// Dates and times as they stand in tables.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gradstab::lab::forecast {

/// Seconds from 1970-01-01 00:00 to "2016-07-01 02:00:00", "2016/7/1 2:00", "2016-07-01T02:00" or
/// "2016-07-01"; nothing for other texts and for days that the calendar does not have. Times have no zone.
std::optional<std::int64_t> parse_date(std::string_view text);

/// "1 hour", "15 minutes", "3 days": seconds in the largest unit that divides them.
std::string step_text(std::int64_t seconds);

}  // namespace gradstab::lab::forecast
