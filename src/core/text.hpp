// Building one-line messages.
#pragma once

#include <sstream>
#include <string>

namespace gradstab::detail {

/// Everything streamed after everything else, numbers with up to 10 significant digits.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream stream;
  stream.precision(10);
  (stream << ... << parts);
  return std::move(stream).str();
}

}  // namespace gradstab::detail
