// Rounding to the levels of a four-bit format, in loops without branches or calls, for compilers to
// vectorize.
//
// A float is rounded to a whole number, ties to even, by adding and subtracting a number so large that its
// own neighbours are whole numbers apart: exact for magnitudes up to a third of it, and the same on every
// machine.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "lab/quantize/group_statistics.hpp"

namespace gradstab::lab::detail {

enum class Rounding : std::uint8_t { nearest_even, stochastic, released_stochastic };

template <class T>
constexpr T kWholes = T{1.5} / std::numeric_limits<T>::epsilon();

template <class T>
T to_whole(T x) noexcept {
  return (x + kWholes<T>)-kWholes<T>;
}

/// Evenly spaced levels: whole numbers of steps between two limits.
template <class T>
struct EvenLevels {
  T multiplier;  ///< value * multiplier / divisor is the value in steps
  T divisor;
  T lowest, highest;  ///< in steps

  template <Rounding kRounding>
  void round(const T* values, const T* noise, std::size_t count, T* steps) const noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      T x = values[i] * multiplier / divisor;
      x = x < lowest ? lowest : x;
      x = x > highest ? highest : x;
      if constexpr (kRounding == Rounding::nearest_even) {
        steps[i] = to_whole(x);
      } else if constexpr (kRounding == Rounding::stochastic) {
        T floor = to_whole(x);
        floor -= floor > x ? T{1} : T{0};
        steps[i] = floor + (noise[i] >= T{1} - (x - floor) ? T{1} : T{0});
      } else {
        const T moved = to_whole((x + noise[i]) - T{0.5});
        steps[i] = moved > highest ? highest : moved;
      }
    }
  }
};

/// The magnitudes of E2M1, by their spacing: half a unit below 2, a unit below 4, two units up to 6.
template <class T>
struct E2M1Levels {
  T divisor;  ///< value / divisor is the value in levels

  template <Rounding kRounding>
  void round(const T* values, const T* noise, std::size_t count, T* levels) const noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      T x = std::fabs(values[i] / divisor);
      x = x > T{6} ? T{6} : x;
      const T spacing = T{0.5} + (x >= T{2} ? T{0.5} : T{0}) + (x >= T{4} ? T{1} : T{0});
      const T wholes = kWholes<T> * spacing;
      T level = (x + wholes) - wholes;
      if constexpr (kRounding != Rounding::nearest_even) {
        level -= level > x ? spacing : T{0};
        level += noise[i] >= T{1} - (x - level) / spacing ? spacing : T{0};
      }
      levels[i] = level;
    }
  }
};

/// Gives every level the sign of its value, zeros too.
template <class T>
void copy_signs(const T* values, std::size_t count, T* levels) noexcept {
  for (std::size_t i = 0; i < count; ++i) levels[i] = std::copysign(levels[i], values[i]);
}

template <class T>
std::uint8_t sign_code(T level) noexcept {
  return static_cast<std::uint8_t>(std::signbit(level) ? 8 : 0);
}

/// Of a level in steps of E1M2.
template <class T>
std::uint8_t e1m2_code(T steps) noexcept {
  return static_cast<std::uint8_t>(static_cast<int>(std::fabs(steps)) | sign_code(steps));
}

template <class T>
std::uint8_t e2m1_code(T level) noexcept {
  const T x = std::fabs(level);
  // Two units per level below 2, one below 4, a half above.
  const T position = x + std::min(x, T{2}) - T{0.5} * std::max(x - T{4}, T{0});
  return static_cast<std::uint8_t>(static_cast<int>(position) | sign_code(level));
}

}  // namespace gradstab::lab::detail
