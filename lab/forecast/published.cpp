#include "lab/forecast/published.hpp"

#include <algorithm>
#include <cctype>

namespace gradstab::lab::forecast {

const PublishedSettings* published_settings(std::string_view series) noexcept {
  const auto same_letter = [](unsigned char a, unsigned char b) {
    return std::tolower(a) == std::tolower(b);
  };
  const auto found = std::ranges::find_if(kPublishedSettings, [&](const PublishedSettings& settings) {
    return std::ranges::equal(settings.series, series, same_letter);
  });
  return found == kPublishedSettings.end() ? nullptr : &*found;
}

}  // namespace gradstab::lab::forecast
