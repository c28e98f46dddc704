// The decision: from one raw norm and the moments to the stabilized norm. Written once, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "gradstab/moments.hpp"
#include "gradstab/options.hpp"

#if defined(__CUDACC__)
#define GRADSTAB_HOST_DEVICE __host__ __device__
#else
#define GRADSTAB_HOST_DEVICE
#endif

namespace gradstab {

/// What one step does to one unit: gradient <- gradient * factor.
struct Decision {
  double stabilized_norm;  ///< rho, the norm after scaling
  double factor;           ///< rho / raw norm
  bool spike;              ///< the raw norm was far above its recent statistics
};

/// The two bias corrections of step `step`: 1 - gamma^step, or 1 where the correction is off.
struct BiasCorrection {
  double first = 1.0;
  double second = 1.0;
};

GRADSTAB_HOST_DEVICE inline BiasCorrection bias_correction_at(const StabilizerOptions& options,
                                                              std::int64_t step) {
  if (!options.bias_correction) return {};
  const auto k = static_cast<double>(step);
  return {1.0 - std::pow(options.gamma1, k), 1.0 - std::pow(options.gamma2, k)};
}

/// Norms seen before a tensor's statistics may call anything a spike.
inline constexpr std::int64_t kSpikeHistory = 10;

namespace detail {

/// Norms inside 2^±kSafeExponent have squares, and decayed squares, far from overflow and underflow in a
/// double.
inline constexpr int kSafeExponent = 400;

/// The largest power of two of a double: norms near the denormals would ask for more than a double can hold.
inline constexpr double kLargestFactor = 0x1p+1023;

/// The exponent e for which norm / 2^e and the moments in units of 2^e can be squared and added: `current`
/// where it serves, else that of the larger of the two. `second` is the second moment at `current`, decayed.
/// Scaling by powers of two is exact, so a history and its multiple by a power of two take identical
/// decisions.
GRADSTAB_HOST_DEVICE inline int common_exponent(int current, double second, double norm) {
  const double high = std::ldexp(1.0, kSafeExponent);
  const double low = std::ldexp(1.0, -kSafeExponent);
  const double scaled = current == 0 ? norm : std::ldexp(norm, -current);
  if (scaled > low && scaled < high) return current;
  const double root = std::sqrt(second);
  const double largest = std::fmax(scaled, root);
  if (largest > low && largest < high)
    return current;  // a tiny norm after ordinary ones: nothing can overflow
  // `scaled` itself may have over- or underflowed, so the new exponent is taken from the norm where that is
  // the larger.
  const int from_norm = std::ilogb(norm);
  const int from_second = root > 0.0 ? std::ilogb(root) + current : from_norm;
  return from_norm > from_second ? from_norm : from_second;
}

}  // namespace detail

/// One step of GradientStabilizer (paper, Algorithm 1; with bias correction: the released form) for one unit.
///
/// `norm` is the raw Euclidean norm, finite and above 0; the caller skips anything else. `correction` belongs
/// to step `moments.step + 1`. Updates the moments. No input within range overflows or loses precision,
/// denormal norms included; a norm below about 1e-307 is raised by the largest power of two of a double and
/// no further.
GRADSTAB_HOST_DEVICE inline Decision decide(const StabilizerOptions& options,
                                            const BiasCorrection& correction, NormMoments& moments,
                                            double norm) {
  double first = options.gamma1 * moments.first;
  double second = options.gamma2 * moments.second;
  double second_before = moments.second;
  const int exponent = detail::common_exponent(moments.exponent, second, norm);
  if (const int shift = moments.exponent - exponent; shift != 0) {
    // Only where gamma1^2 >= gamma2 can the first moment outgrow the second so far that it is cut off here.
    first = std::fmin(std::ldexp(first, shift), detail::kLargestFactor);
    second = std::ldexp(second, 2 * shift);
    second_before = std::ldexp(second_before, 2 * shift);
  }
  const double scaled = exponent == 0 ? norm : std::ldexp(norm, -exponent);
  bool spike = false;
  if (moments.step >= kSpikeHistory) {
    const double weight = 1.0 - std::pow(options.gamma2, static_cast<double>(moments.step));
    spike = scaled > options.spike_ratio * std::sqrt(second_before / weight);
  }
  moments.exponent = exponent;
  moments.step += 1;
  moments.first = first + (1.0 - options.gamma1) * scaled;
  moments.second = second + (1.0 - options.gamma2) * (scaled * scaled);

  const double mean = moments.first / correction.first;
  const double root = std::sqrt(moments.second / correction.second);
  if (options.epsilon == 0.0) {
    const double rho = mean / root;
    const double factor = rho / norm;
    if (factor < detail::kLargestFactor) return {rho, factor, spike};
    return {detail::kLargestFactor * norm, detail::kLargestFactor, spike};
  }
  const double rho = mean / (root + std::ldexp(options.epsilon, -moments.exponent));
  const double factor = std::fmin(rho / std::fmax(norm, options.epsilon), detail::kLargestFactor);
  return {factor * norm, factor, spike};
}

}  // namespace gradstab
