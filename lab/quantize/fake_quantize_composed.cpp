// Every group is a row of a matrix. Each operation below rounds once, as its counterpart in the library does,
// and none is left to be contracted with another. Divisors are tensors, even where they are constants:
// LibTorch's kernels for devices multiply by the inverse of a number, which rounds differently.
#include "lab/quantize/fake_quantize_composed.hpp"

#include <limits>
#include <string>
#include <vector>

namespace gradstab::lab::composed {
namespace {

using torch::Tensor;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kLeastScale = 16.0F * std::numeric_limits<float>::min();
/// Neighbours of this number are whole numbers apart, so that adding and subtracting it rounds to whole
/// numbers, ties to even. Unlike torch::round it gives no negative zeros.
constexpr double kWholes = 1.5 / std::numeric_limits<float>::epsilon();

Tensor divided(const Tensor& x, double divisor) {
  return x / torch::full_like(x, divisor);
}

Tensor to_whole(const Tensor& x) {
  return (x + kWholes) - kWholes;
}

/// Of the groups: [groups, 1] each.
struct Scales {
  Tensor scale;
  Tensor finite;      ///< bool
  Tensor zero_point;  ///< of int4_weight
};

/// The largest magnitudes of every group and where they are, the first of equals first; one tensor [groups,
/// 1] of each for every rank.
struct Largest {
  std::vector<Tensor> magnitudes, places;
};
Largest largest(const Tensor& groups, std::int64_t count) {
  Largest result;
  Tensor magnitudes = groups.abs();
  for (std::int64_t rank = 0; rank < count; ++rank) {
    if (rank > 0) magnitudes.scatter_(1, result.places.back(), -1.0);
    // The place is that of the first maximum.
    auto [values, places] = magnitudes.max(1, /*keepdim=*/true);
    result.magnitudes.push_back(values);
    result.places.push_back(places);
  }
  return result;
}

/// Scales made from a largest magnitude.
Tensor scales_of(const Tensor& magnitude, const QuantizerOptions& options) {
  if (options.fixed_scale > 0.0) return torch::full_like(magnitude, static_cast<float>(options.fixed_scale));
  if (options.compat == Compat::released && options.format != QuantizerFormat::fp4_e2m1)
    return magnitude.clamp_min(1e-6F);
  const double highest = options.format == QuantizerFormat::fp4_e1m2   ? 1.75
                         : options.format == QuantizerFormat::fp4_e2m1 ? 6.0
                                                                       : 1.0;
  return torch::where(magnitude.gt(0.0), divided(magnitude, highest).clamp_min(kLeastScale),
                      torch::ones_like(magnitude));
}

/// Those of int4_weight, made from the range of a group.
Scales scales_of_range(const Tensor& groups, const QuantizerOptions& options) {
  Scales scales;
  Tensor low = groups.amin(1, /*keepdim=*/true);
  Tensor high = groups.amax(1, /*keepdim=*/true);
  scales.finite = torch::isfinite(low).logical_and(torch::isfinite(high));
  if (options.compat == Compat::released) {
    scales.scale = divided((high - low).clamp_min(1e-5F), 15.0);
  } else {
    low = low.clamp_max(0.0);
    high = high.clamp_min(0.0);
    const Tensor half = high * 0.5 - low * 0.5;
    scales.scale =
        torch::where(half.gt(0.0), divided(half, 7.5).clamp_min(kLeastScale), torch::ones_like(half));
  }
  scales.zero_point = to_whole((low.neg() / scales.scale).clamp(0.0, 15.0));
  return scales;
}

/// Whole numbers of steps between two limits. The shift keeps products of large values finite.
Tensor even_steps(const Tensor& groups, const Tensor& scale, double steps_per_scale, const Tensor& lowest,
                  const Tensor& highest) {
  const Tensor shift = torch::where(scale.gt(1.0), torch::full_like(scale, 0.0625), torch::ones_like(scale));
  const Tensor steps = groups * (shift * steps_per_scale) / (scale * shift);
  return to_whole(torch::minimum(torch::maximum(steps, lowest), highest));
}

Tensor rounded(const Tensor& groups, const Scales& scales, const QuantizerOptions& options) {
  const bool released = options.compat == Compat::released;
  const Tensor& scale = scales.scale;
  const auto limit = [&](double value) { return torch::full_like(scale, value); };
  switch (options.format) {
    case QuantizerFormat::fp4_e1m2: {
      const double highest = released ? 4.0 : 7.0;
      const Tensor steps = even_steps(groups, scale, 4.0, limit(-highest), limit(highest));
      return torch::copysign(steps, groups) * (scale * 0.25);
    }
    case QuantizerFormat::fp4_e2m1: {
      const Tensor x = (groups / scale).abs().clamp_max(6.0);
      const Tensor spacing = x.ge(2.0).to(torch::kFloat) * 0.5 + x.ge(4.0).to(torch::kFloat) + 0.5;
      const Tensor wholes = spacing * kWholes;
      return torch::copysign((x + wholes) - wholes, groups) * scale;
    }
    case QuantizerFormat::int4_weight:
      return even_steps(groups, scale, 1.0, scales.zero_point.neg(), 15.0 - scales.zero_point) * scale;
    case QuantizerFormat::int4_activation:
      return even_steps(groups, scale, 7.0, limit(released ? -8.0 : -7.0), limit(7.0)) * divided(scale, 7.0);
  }
  throw Error({StatusCode::invalid_argument, "unknown quantizer format"});
}

/// [groups, group_size], each of them the values of one group.
Tensor quantized_groups(const Tensor& groups, const QuantizerOptions& options) {
  Scales scales;
  Largest kept;
  if (options.format == QuantizerFormat::int4_weight) {
    scales = scales_of_range(groups, options);
  } else {
    kept = largest(groups, options.keep_largest + 1);
    scales.scale = scales_of(kept.magnitudes.back(), options);
    scales.finite = torch::isfinite(kept.magnitudes.front());
  }
  Tensor result = rounded(groups, scales, options);
  for (std::int64_t rank = 0; rank < options.keep_largest; ++rank) {
    const Tensor& place = kept.places[static_cast<std::size_t>(rank)];
    result.scatter_(1, place, groups.gather(1, place));
  }
  return result.masked_fill_(scales.finite.logical_not(), kNaN);
}

}  // namespace

Tensor fake_quantize(const Tensor& x, const QuantizerOptions& options, bool by_row) {
  options.validate().check();
  if (options.rounding != QuantizerRounding::nearest_even) {
    throw Error({StatusCode::unsupported,
                 "stochastic rounding is done on the CPU only, expected rounding nearest_even"});
  }
  TORCH_CHECK(x.scalar_type() == torch::kFloat && x.is_contiguous(),
              "quantized operands must be contiguous float tensors, not ", x.scalar_type());
  const torch::NoGradGuard no_grad;
  if (x.numel() == 0) return torch::empty_like(x);
  const std::int64_t width = by_row && x.dim() > 0 ? x.size(-1) : x.numel();
  const std::int64_t rest = width % options.group_size;
  if (rest != 0 && options.compat == Compat::released && options.format != QuantizerFormat::fp4_e2m1) {
    throw Error({StatusCode::shape_mismatch,
                 "got " + std::to_string(width) +
                     " values, expected under compat 'released' a multiple of group_size " +
                     std::to_string(options.group_size)});
  }
  Tensor rows = x.reshape({-1, width});
  // Zeros change no group: they are never larger than a value, and zero is a level of every format.
  if (rest != 0) rows = torch::constant_pad_nd(rows, {0, options.group_size - rest}, 0);
  Tensor result = quantized_groups(rows.reshape({-1, options.group_size}), options).view_as(rows);
  if (rest != 0) result = result.narrow(1, 0, width);
  return result.reshape(x.sizes());
}

}  // namespace gradstab::lab::composed
