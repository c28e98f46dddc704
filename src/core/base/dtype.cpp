#include <cmath>

#include "core/base/floating_point.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

/// Rounds a finite double to a 16-bit format with `fraction_bits` and a smallest normal exponent; ties to
/// even. `overflow` is the first magnitude beyond the format's range, the value of the exponent after the
/// last.
std::uint16_t round_to_16_bits(double value, int fraction_bits, int min_exponent, int max_exponent) {
  const std::uint16_t sign = std::signbit(value) ? 0x8000u : 0u;
  const int exponent_field_shift = fraction_bits;
  const auto infinity = static_cast<std::uint16_t>((max_exponent - min_exponent + 2) << exponent_field_shift);
  if (detail::is_nan(value)) return static_cast<std::uint16_t>(sign | infinity | (1u << (fraction_bits - 1)));
  const double magnitude = std::fabs(value);
  if (detail::is_infinite(magnitude)) return sign | infinity;
  if (magnitude == 0.0) return sign;
  // The spacing of representable values around `magnitude`: that of its binade, or of the subnormals below
  // all binades.
  const int exponent = std::max(std::ilogb(magnitude), min_exponent);
  const double units = std::nearbyint(std::ldexp(magnitude, fraction_bits - exponent));
  // `units` counts spacings; adding it to the encoded binade carries into the exponent field by itself.
  const int biased = exponent - min_exponent;
  const auto encoded =
      static_cast<std::uint32_t>(units) + (static_cast<std::uint32_t>(biased) << exponent_field_shift);
  return static_cast<std::uint16_t>(sign | (encoded >= infinity ? infinity : encoded));
}

}  // namespace

std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
  }
  return "unknown";
}

BFloat16 to_bfloat16(double value) noexcept {
  return {round_to_16_bits(value, 7, -126, 127)};
}

Float16 to_float16(double value) noexcept {
  return {round_to_16_bits(value, 10, -14, 15)};
}

}  // namespace gradstab
