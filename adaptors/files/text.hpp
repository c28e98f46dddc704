// Building the one line of an error.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::files {

inline void append(std::string& text, std::string_view part) {
  text.append(part);
}
inline void append(std::string& text, std::integral auto number) {
  text.append(std::to_string(number));
}

/// A Status whose message is the parts one after another: texts and whole numbers.
template <class... Parts>
Status error(StatusCode code, const Parts&... parts) {
  std::string message;
  (append(message, parts), ...);
  return {code, std::move(message)};
}

template <class... Parts>
Status invalid(const Parts&... parts) {
  return error(StatusCode::invalid_argument, parts...);
}

}  // namespace gradstab::files
