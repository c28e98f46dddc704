// The decision: the moments of a norm, and how they and one raw norm give the stabilized norm. Written once,
// for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "gradstab/options.hpp"

namespace gradstab {

/// Running moments of one unit's gradient norm. Plain data: copying it is checkpointing it.
///
/// The first moment is `first` * 2^`exponent`, the second `second` * 2^(2 * `exponent`). The exponent is 0
/// except for norms beyond 2^±400, which only float64 gradients reach; it keeps the square of such a norm
/// representable.
struct NormMoments {
  double first = 0.0;   ///< decayed mean of the norm, not bias-corrected
  double second = 0.0;  ///< decayed mean of the squared norm, not bias-corrected
  /// Norms that entered the moments. With robust moments and bias correction it starts afresh, at
  /// kRobustPatience, where a lasting change of scale is adopted.
  std::int64_t step = 0;
  std::int64_t nonfinite = 0;  ///< steps skipped because the gradient held NaN or Inf
  std::int64_t zeros = 0;      ///< steps skipped because the gradient was all zero
  std::int32_t exponent = 0;

  // Used only by robust moments.
  std::int32_t streak = 0;   ///< consecutive norms far above the moments; negative: far below
  double streak_norm = 0.0;  ///< the norm of the streak that is nearest to the moments

  bool operator==(const NormMoments&) const = default;
};

}  // namespace gradstab

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

/// What the moments are divided by. At step k, `first` and `second` are 1 - gamma^k, or 1 where bias
/// correction is off; `first_before` and `second_before` are 1 - gamma^(k-1) in any form: the weight of the
/// history before the step, from which its mean norm follows.
struct BiasCorrection {
  double first = 1.0;
  double second = 1.0;
  double first_before = 0.0;
  double second_before = 0.0;
};

GRADSTAB_HOST_DEVICE inline BiasCorrection bias_correction_at(const StabilizerOptions& options,
                                                              std::int64_t step) {
  const auto k = static_cast<double>(step);
  BiasCorrection correction;
  correction.first_before = 1.0 - std::pow(options.gamma1, k - 1.0);
  correction.second_before = 1.0 - std::pow(options.gamma2, k - 1.0);
  if (options.bias_correction) {
    correction.first = 1.0 - std::pow(options.gamma1, k);
    correction.second = 1.0 - std::pow(options.gamma2, k);
  }
  return correction;
}

/// Number of norms seen before a norm may be labelled a spike.
inline constexpr std::int64_t kSpikeHistory = 10;

/// Robust moments: number of norms in a row on the same side of the statistics that make a change of scale a
/// lasting one. Long enough to outlast a burst of spikes; the stabilized norm does not suffer meanwhile.
inline constexpr std::int32_t kRobustPatience = 8;

namespace detail {

/// Norms inside 2^±kSafeExponent have squares, and decayed squares, far from overflow and underflow in a
/// double.
inline constexpr int kSafeExponent = 400;

/// The largest power of two of a double: norms near the denormals would ask for more than a double can hold.
inline constexpr double kLargestFactor = 0x1p+1023;

/// The exponent e for which norm / 2^e and the moments in units of 2^e can be squared and added: `current` if
/// that suffices, else the exponent of the larger of the two. `second` is the second moment at `current`,
/// decayed. Scaling by powers of two is exact, so a history and its multiple by a power of two take identical
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
  // `scaled` itself may have over- or underflowed, so the new exponent is taken from the norm if that is the
  // larger.
  const int from_norm = std::ilogb(norm);
  const int from_second = root > 0.0 ? std::ilogb(root) + current : from_norm;
  return from_norm > from_second ? from_norm : from_second;
}

/// Robust moments: which norms the statistics treat as outliers. All numbers are in units of the moments.
struct RobustLimits {
  double mean;     ///< M, bias-corrected in either form
  double root;     ///< S, the root of the second moment, likewise
  double highest;  ///< the largest norm that is not winsorized
  double lasting;  ///< a streak of high norms continues while they are above this
  double lowest;   ///< norms below this are far below the scale
};

/// With w the weight that the next norm has in the mean, a norm x makes the mean (1 - w) M + w x, and the
/// root at least S where x >= S. The mean stays within G S, G = 1 - w + w kappa, as long as
/// x <= kappa S - (1 - w)/w (M - S): so the stabilized norm never exceeds G, whatever the norms are. Where
/// the mean is below the root, kappa M is the tighter limit of the two.
GRADSTAB_HOST_DEVICE inline RobustLimits robust_limits(const StabilizerOptions& options,
                                                       const BiasCorrection& correction,
                                                       const NormMoments& moments) {
  const double kappa = options.robust_kappa;
  const double mean = moments.first / correction.first_before;
  const double root = std::sqrt(moments.second / correction.second_before);
  const double kept = options.gamma1 * correction.first_before / (1.0 - options.gamma1);  // (1 - w)/w
  const double highest = mean <= root ? kappa * mean : std::fmax(root, kappa * root - kept * (mean - root));
  const double growth = 1.0 + (kappa - 1.0) / (1.0 + kept);  // G
  return {mean, root, highest, std::fmin(highest, growth * root), root / kappa};
}

/// Robust moments: the history becomes one of constant norms, all equal to `level`. With bias correction it
/// is as short as the streak of norms that it comes from, so that the next norms correct a level that was
/// misjudged; without bias correction, the moments keep their weight, on which the stabilized norm depends.
GRADSTAB_HOST_DEVICE inline void restart_history(const StabilizerOptions& options, NormMoments& moments,
                                                 double level) {
  if (options.bias_correction && moments.step > kRobustPatience) moments.step = kRobustPatience;
  const BiasCorrection correction = bias_correction_at(options, moments.step + 1);
  const int exponent = std::ilogb(level);
  const bool safe = exponent < kSafeExponent && exponent > -kSafeExponent;
  moments.exponent = safe ? 0 : exponent;
  const double scaled = safe ? level : std::ldexp(level, -exponent);
  moments.first = correction.first_before * scaled;
  moments.second = correction.second_before * (scaled * scaled);
  moments.streak = 0;
  moments.streak_norm = 0.0;
}

/// Robust moments: the value that enters the moments for `norm`, and the detection of a lasting change of
/// scale.
///
/// A norm above the highest one that RobustLimits allows enters as that; a second and later one in a row
/// enters as the root of the second moment at most, so that the mean falls back during a burst. A norm far
/// below the scale enters as it is: it does no lasting harm. After kRobustPatience norms in a row on the same
/// side the history starts afresh from the norm of the streak that is nearest to the old scale, so that the
/// stabilized norm makes no detour on the way to the new scale.
GRADSTAB_HOST_DEVICE inline double robust_entry(const StabilizerOptions& options,
                                                const BiasCorrection& correction, NormMoments& moments,
                                                double norm) {
  if (moments.step == 0) return norm;
  const RobustLimits limits = robust_limits(options, correction, moments);
  // Even if the norm over- or underflows in the units of the moments, the comparisons are right.
  const double scaled = moments.exponent == 0 ? norm : std::ldexp(norm, -moments.exponent);
  const bool above = scaled > (moments.streak > 0 ? limits.lasting : limits.highest);
  const bool below = !above && scaled < limits.lowest;
  if (above) {
    moments.streak_norm = moments.streak > 0 ? std::fmin(moments.streak_norm, norm) : norm;
    moments.streak = moments.streak > 0 ? moments.streak + 1 : 1;
  } else if (below) {
    moments.streak_norm = moments.streak < 0 ? std::fmax(moments.streak_norm, norm) : norm;
    moments.streak = moments.streak < 0 ? moments.streak - 1 : -1;
  } else {
    moments.streak = 0;
    moments.streak_norm = 0.0;
    return norm;
  }
  if (moments.streak == kRobustPatience || moments.streak == -kRobustPatience) {
    const double level = moments.streak_norm;
    restart_history(options, moments, level);
    return std::fmin(norm, options.robust_kappa * level);
  }
  if (below) return norm;
  const double entering =
      moments.streak == 1 ? limits.highest : std::fmin(options.robust_kappa * limits.mean, limits.root);
  return std::ldexp(entering, moments.exponent);
}

}  // namespace detail

/// One step of GradientStabilizer (paper, Algorithm 1; with bias correction: the released form) for one unit.
///
/// `norm` is the raw Euclidean norm, finite and above 0; the caller skips anything else. `correction` belongs
/// to step `moments.step + 1`. Updates the moments. No input within range overflows or loses precision,
/// denormal norms included; a norm below about 1e-307 is multiplied by the largest power of two of a double,
/// and by no more.
GRADSTAB_HOST_DEVICE inline Decision decide(const StabilizerOptions& options,
                                            const BiasCorrection& correction, NormMoments& moments,
                                            double norm) {
  const std::int64_t step = moments.step + 1;
  bool spike = false;
  if (moments.step >= kSpikeHistory) {
    // In units of the moments. Even if the norm over- or underflows in them, the comparisons are right.
    const double scaled = moments.exponent == 0 ? norm : std::ldexp(norm, -moments.exponent);
    spike = scaled > options.spike_ratio * std::sqrt(moments.second / correction.second_before);
  }
  const double entering =
      options.robust_kappa > 0.0 ? detail::robust_entry(options, correction, moments, norm) : norm;

  double first = options.gamma1 * moments.first;
  double second = options.gamma2 * moments.second;
  const int exponent = detail::common_exponent(moments.exponent, second, entering);
  if (const int shift = moments.exponent - exponent; shift != 0) {
    // Only where gamma1^2 >= gamma2 can the first moment outgrow the second so far that it is cut off here.
    first = std::fmin(std::ldexp(first, shift), detail::kLargestFactor);
    second = std::ldexp(second, 2 * shift);
  }
  const double scaled = exponent == 0 ? entering : std::ldexp(entering, -exponent);
  moments.exponent = exponent;
  moments.step += 1;
  moments.first = first + (1.0 - options.gamma1) * scaled;
  moments.second = second + (1.0 - options.gamma2) * (scaled * scaled);

  // A history that started afresh has weights of its own.
  const BiasCorrection weights =
      moments.step == step ? correction : bias_correction_at(options, moments.step);
  const double mean = moments.first / weights.first;
  const double root = std::sqrt(moments.second / weights.second);
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
