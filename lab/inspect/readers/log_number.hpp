// Numbers as programs log them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gradstab::lab::inspect {

/// Of a text that is a number and nothing else: 1.5, +1.5, 1e-3, nan, Infinity, -inf, 1,234.5 (commas between
/// groups of three digits), np.float64(0.4), tensor(0.4); blanks and quotes around it do not count. A number
/// beyond a double is infinite, one below it 0. Nothing for any other text, None, null and an empty one
/// included.
std::optional<double> log_number(std::string_view text);

/// The number at the front of `text`, after blanks and a quote, and how many bytes were read with it; the
/// number ends where no number goes on. 0 bytes: there is none.
struct NumberAtFront {
  double value = 0.0;
  std::size_t bytes = 0;
};
NumberAtFront number_at_front(std::string_view text);

/// A whole number that a step can be.
std::optional<std::int64_t> step_of(double value);

}  // namespace gradstab::lab::inspect
