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

/// Brings `norm` and the moments to a common exponent at which squaring is safe, and returns the scaled norm.
/// Scaling by powers of two is exact, so a history and its multiple by a power of two take identical
/// decisions.
GRADSTAB_HOST_DEVICE inline double to_common_exponent(NormMoments& moments, double norm) {
  const double high = std::ldexp(1.0, kSafeExponent);
  const double low = std::ldexp(1.0, -kSafeExponent);
  double scaled = moments.exponent == 0 ? norm : std::ldexp(norm, -moments.exponent);
  if (scaled > low && scaled < high) return scaled;
  const double largest = std::fmax(scaled, std::sqrt(moments.second));
  if (largest > low && largest < high)
    return scaled;  // a tiny norm after ordinary ones: nothing can overflow
  const int current = moments.exponent;
  // `scaled` itself may have over- or underflowed, so the new exponent is taken from the norm where that is
  // the larger.
  const int from_norm = std::ilogb(norm);
  const int from_moments = moments.second > 0.0 ? std::ilogb(std::sqrt(moments.second)) + current : from_norm;
  const int next = from_norm > from_moments ? from_norm : from_moments;
  moments.first = std::ldexp(moments.first, current - next);
  moments.second = std::ldexp(moments.second, 2 * (current - next));
  moments.exponent = next;
  return std::ldexp(norm, -next);
}

}  // namespace detail

/// One step of GradientStabilizer (paper, Algorithm 1; with bias correction: the released form) for one unit.
///
/// `norm` is the raw Euclidean norm, finite and above 0; the caller skips anything else. `correction` belongs
/// to step `moments.step + 1`. Updates the moments. No input within range overflows or loses precision,
/// denormal norms included; a norm below about 1e-307 is raised by the largest power of two of a double and no
/// further.
GRADSTAB_HOST_DEVICE inline Decision decide(const StabilizerOptions& options,
                                            const BiasCorrection& correction, NormMoments& moments,
                                            double norm) {
  const double scaled = detail::to_common_exponent(moments, norm);
  bool spike = false;
  if (moments.step >= kSpikeHistory) {
    const double weight = 1.0 - std::pow(options.gamma2, static_cast<double>(moments.step));
    spike = scaled > options.spike_ratio * std::sqrt(moments.second / weight);
  }
  moments.step += 1;
  moments.first = options.gamma1 * moments.first + (1.0 - options.gamma1) * scaled;
  moments.second = options.gamma2 * moments.second + (1.0 - options.gamma2) * (scaled * scaled);

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
