// Fake quantization to four bits: values are rounded to the levels of FP4 or INT4 and stay in their dtype.
//
// Quantization-aware training multiplies with the rounded weights and activations forward and passes
// gradients straight through: the gradient of the result is used as that of the input. docs/methods.md has
// the rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gradstab/options.hpp"
#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What values are rounded to: level times scale, with one scale per group of values. Let L be the largest
/// magnitude of a group that is not kept (see `keep_largest`).
enum class QuantizerFormat : std::uint8_t {
  /// One exponent and two mantissa bits: levels 0, .25, ..., 1.75 and their negatives, evenly spaced; scale
  /// L / 1.75. Source: arXiv 2502.17055, versions 1 and 2, which train with this format. The grid is the
  /// whole one, of which the released code uses nine levels (see `compat`).
  fp4_e1m2,
  /// Two exponent bits and one mantissa bit: levels 0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives; the scale
  /// is a sixth of L. Ties go to the even mantissa, and beyond 6 values saturate. Source: the element format
  /// E2M1 of the OCP Microscaling Formats (MX) specification 1.0, whose scales are powers of two.
  fp4_e2m1,
  /// Asymmetric: levels -zero_point .. 15 - zero_point; scale (largest - smallest value) / 15, with zero
  /// counted as one of the values, so that it is a level itself. Source: as for fp4_e1m2.
  int4_weight,
  /// Symmetric: levels -1, -6/7, ..., 1; scale L. Source: as for fp4_e1m2.
  int4_activation,
};

enum class QuantizerRounding : std::uint8_t {
  nearest_even,  ///< to the nearest level; half way, to the even one of the two
  /// To one of the two levels around, the nearer being the likelier, so that the mean is the value itself.
  /// Beyond the last level, where the ends of a group of int4_weight may be by half a step, values saturate.
  stochastic,
};

struct QuantizerOptions {
  QuantizerFormat format = QuantizerFormat::fp4_e2m1;
  std::int64_t group_size = 256;  ///< values that share a scale, in flat order, across rows; at least 1
  /// How many of the largest magnitudes of each group come out exactly as they are and have no part in its
  /// scale. Among equals the first. At most `kMostKept`, below group_size, and 0 for int4_weight.
  std::int64_t keep_largest = 0;
  QuantizerRounding rounding = QuantizerRounding::nearest_even;
  std::uint64_t seed = 0;  ///< of stochastic rounding without noise of the caller
  /// Above 0: the scale of every group, beyond whose levels values saturate. 0: each group has its own. Not
  /// for int4_weight.
  double fixed_scale = 0.0;
  /// `released`: as the authors' code computes. fp4_e1m2 has the nine levels 0, 1/4, ..., 1 and their
  /// negatives and scale L, and needs keep_largest; int4_weight uses the range without zero, which destroys
  /// groups of one sign; int4_activation may round to the level -8/7; scales have floors of 1e-6 (1e-5 / 15
  /// for int4_weight). The size must be a multiple of group_size. fp4_e2m1 stays the same.
  Compat compat = Compat::robust;

  static constexpr std::int64_t kMostKept = 8;

  /// Groups in that many values; the last one may be shorter than the others.
  constexpr std::size_t group_count(std::size_t values) const noexcept {
    const auto size = static_cast<std::size_t>(group_size);
    return values / size + (values % size != 0 ? 1 : 0);
  }

  static constexpr QuantizerOptions e1m2() { return {.format = QuantizerFormat::fp4_e1m2}; }
  static constexpr QuantizerOptions e2m1() { return {.format = QuantizerFormat::fp4_e2m1}; }
  static constexpr QuantizerOptions int4_weights() { return {.format = QuantizerFormat::int4_weight}; }
  static constexpr QuantizerOptions int4_activations() {
    return {.format = QuantizerFormat::int4_activation, .keep_largest = 2};
  }
  /// FP4 weights and activations as in the code that arXiv 2502.17055 was released with.
  static constexpr QuantizerOptions released_fp4() {
    return {.format = QuantizerFormat::fp4_e1m2, .keep_largest = 2, .compat = Compat::released};
  }

  Status validate() const;
};

/// Further input and output of a call, all of it optional: an empty span is not used. None may overlap
/// another or the values.
template <class T>
struct QuantizerArrays {
  /// One number per value, uniform in [0, 1), for stochastic rounding: the higher level is chosen where the
  /// fraction of the way to it plus the number is at least 1. (In magnitude for fp4_e2m1.) Not checked.
  std::span<const T> noise = {};
  /// Which of the random sequences of `seed` to use in place of noise: calls of the same seed and draw round
  /// alike. The sequences have 24 random bits per number for float32 and 32 for float64.
  std::uint64_t draw = 0;
  /// One per value, four bits. FP4: bit 3 the sign, below it the level's position in the list of its format.
  /// int4_weight: level + zero_point. int4_activation: 7 times the level, in two's complement. That of a kept
  /// value is the one of level 0.
  std::span<std::uint8_t> codes = {};
  std::span<T> scales = {};                  ///< one per group
  std::span<std::uint8_t> zero_points = {};  ///< one per group, 0 .. 15; 0 for all but int4_weight
};

/// Writes the nearest (or a random neighbouring) level times scale of each value; `result` may be `values`
/// itself, but may not overlap it otherwise. Values are grouped in flat order; the last group may
/// be shorter. Arithmetic is in the type of the values. Allocates nothing and keeps nothing between calls;
/// any number of threads may call it on arrays of their own.
///
/// A group that holds NaN or Inf comes out as NaN throughout, with scale NaN and codes 0, whatever the
/// compat: a loss then shows it at once. A group of zeros has scale 1. A scale of its own is never less than
/// 16 times the smallest normal number of the type, so that above that, multiplying all values by a power of
/// two multiplies the result by it bit for bit; int4_weight may give infinities from values within 7 % of the
/// largest number of the type.
///
/// Errors: invalid_argument for options that do not validate and for noise without stochastic rounding;
/// shape_mismatch for a span of the wrong size, partly overlapping values and result, or under
/// `Compat::released` a size that is not a multiple of group_size (fp4_e2m1 excepted). Nothing has been
/// written then.
Status fake_quantize(std::span<const float> values, std::span<float> result, const QuantizerOptions& options,
                     const QuantizerArrays<float>& arrays = {});
Status fake_quantize(std::span<const double> values, std::span<double> result,
                     const QuantizerOptions& options, const QuantizerArrays<double>& arrays = {});

}  // namespace gradstab::lab
