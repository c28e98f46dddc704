// What the settings of a quantizer may be.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "lab/quantize/fake_quantize.hpp"

namespace gradstab::lab {
namespace {

Status invalid(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

template <class Choice>
Status choice(const char* name, Choice last, Choice value) {
  if (value <= last) return {};
  return invalid(fmt::format("{} has no such choice, got value {}", name, static_cast<int>(value)));
}

}  // namespace

Status QuantizerOptions::validate() const {
  GRADSTAB_RETURN_IF_ERROR(choice("format", QuantizerFormat::int4_activation, format));
  GRADSTAB_RETURN_IF_ERROR(choice("rounding", QuantizerRounding::stochastic, rounding));
  GRADSTAB_RETURN_IF_ERROR(choice("compat", Compat::released, compat));
  if (group_size < 1) return invalid(fmt::format("group_size must be at least 1, got {}", group_size));
  if (keep_largest < 0 || keep_largest > kMostKept || keep_largest >= group_size) {
    return invalid(fmt::format("keep_largest must be between 0 and {} and below group_size {}, got {}",
                               kMostKept, group_size, keep_largest));
  }
  if (!(fixed_scale >= 0.0 && std::isfinite(fixed_scale))) {
    return invalid(
        fmt::format("fixed_scale must be finite and above 0, or 0 for none, got {:.10g}", fixed_scale));
  }
  if (format == QuantizerFormat::int4_weight && keep_largest != 0)
    return invalid(fmt::format("keep_largest must be 0 for format int4_weight, got {}", keep_largest));
  if (format == QuantizerFormat::int4_weight && fixed_scale != 0.0)
    return invalid(fmt::format("fixed_scale must be 0 for format int4_weight, got {:.10g}", fixed_scale));
  if (format == QuantizerFormat::fp4_e1m2 && compat == Compat::released) {
    if (keep_largest == 0) {
      return invalid(
          "keep_largest must be at least 1 for format fp4_e1m2 under compat 'released', got 0, with "
          "which that code does not quantize at all");
    }
    if (rounding == QuantizerRounding::stochastic)
      return invalid(
          "rounding must be nearest_even for format fp4_e1m2 under compat 'released', got stochastic");
  }
  return {};
}

}  // namespace gradstab::lab
