// fake_quantize: each group measured, then rounded block by block.
#include "lab/quantize/fake_quantize.hpp"

#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "lab/quantize/group_statistics.hpp"
#include "lab/quantize/random_draws.hpp"
#include "lab/quantize/round_to_levels.hpp"

namespace gradstab::lab {
namespace {

using detail::Rounding;

/// Values that are rounded at a time: few enough to stay in the first-level cache.
constexpr std::size_t kBlock = 64;

/// Uniform in [0, 1), as many bits as T takes of 32. The bits go by way of a signed number, for which every
/// instruction set has a conversion.
template <class T>
void draw_noise(std::uint32_t first, std::size_t count, T* noise) noexcept {
  constexpr int kBits = sizeof(T) == sizeof(float) ? 24 : 32;
  constexpr T kUnit = T{1} / static_cast<T>(std::int64_t{1} << kBits);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = detail::random_bits(first + static_cast<std::uint32_t>(i));
    if constexpr (kBits == 24) {
      noise[i] = static_cast<T>(static_cast<std::int32_t>(bits >> 8)) * kUnit;
    } else {
      noise[i] = static_cast<T>(static_cast<std::int32_t>(bits)) * kUnit + T{0.5};
    }
  }
}

/// How the values of one group become levels.
template <class T>
struct Group {
  T scale = 1;
  int zero_point = 0;
  bool finite = true;
};

template <class T>
class Quantizer {
 public:
  Quantizer(std::span<const T> values, std::span<T> result, const QuantizerOptions& options,
            const QuantizerArrays<T>& arrays)
      : values_(values), result_(result), options_(options), arrays_(arrays) {}

  void run() const noexcept {
    const auto size = static_cast<std::size_t>(options_.group_size);
    for (std::size_t begin = 0, g = 0; begin < values_.size();
         begin += std::min(size, values_.size() - begin), ++g)
      quantize(begin, std::min(size, values_.size() - begin), g);
  }

 private:
  using Kept = detail::Largest<T, QuantizerOptions::kMostKept + 1>;

  bool released() const noexcept { return options_.compat == Compat::released; }

  void quantize(std::size_t begin, std::size_t count, std::size_t number) const noexcept {
    const auto values = values_.subspan(begin, count);
    if (options_.keep_largest == 0) {
      finish(begin, count, number, measure(values));
      return;
    }
    const auto keep = static_cast<std::size_t>(options_.keep_largest);
    const Kept largest(values, keep + 1);
    const Group<T> group = scaled(largest[keep].magnitude < 0 ? 0 : largest[keep].magnitude,
                                  detail::is_finite_magnitude<T>(largest[0].magnitude));
    T kept[QuantizerOptions::kMostKept] = {};
    const std::size_t present = std::min(keep, count);
    for (std::size_t k = 0; k < present; ++k) kept[k] = values[largest[k].index];
    finish(begin, count, number, group);
    if (!group.finite) return;
    for (std::size_t k = 0; k < present; ++k) {
      const std::size_t at = begin + largest[k].index;
      result_[at] = kept[k];
      if (!arrays_.codes.empty()) arrays_.codes[at] = 0;
    }
  }

  Group<T> measure(std::span<const T> values) const noexcept {
    if (options_.format == QuantizerFormat::int4_weight) return of_range(detail::range_of(values));
    const auto largest = detail::largest_magnitude(values);
    return scaled(largest, detail::is_finite_magnitude<T>(largest));
  }

  static constexpr T kLeastScale = T{16} * std::numeric_limits<T>::min();

  Group<T> scaled(detail::Bits<T> magnitude, bool finite) const noexcept {
    Group<T> group;
    group.finite = finite;
    if (options_.fixed_scale > 0.0) {
      group.scale = static_cast<T>(options_.fixed_scale);
      return group;
    }
    const T largest = detail::magnitude_of<T>(magnitude);
    if (released() && options_.format != QuantizerFormat::fp4_e2m1) {
      group.scale = std::max(largest, T(1e-6));
    } else if (largest > T{0}) {
      const T highest = options_.format == QuantizerFormat::fp4_e1m2   ? T{1.75}
                        : options_.format == QuantizerFormat::fp4_e2m1 ? T{6}
                                                                       : T{1};
      group.scale = std::max(largest / highest, kLeastScale);
    }
    return group;
  }

  Group<T> of_range(detail::Range<T> range) const noexcept {
    Group<T> group;
    group.finite = range.finite;
    if (!range.finite) return group;
    if (released()) {
      group.scale = std::max(range.highest - range.lowest, T(1e-5)) / T{15};
    } else {
      range.lowest = std::min(range.lowest, T{0});
      range.highest = std::max(range.highest, T{0});
      // Halves, because the difference may be beyond the largest number.
      const T half = range.highest / T{2} - range.lowest / T{2};
      if (half > T{0}) group.scale = std::max(half / T{7.5}, kLeastScale);
    }
    const T zero = detail::to_whole(std::clamp(-range.lowest / group.scale, T{0}, T{15}));
    group.zero_point = static_cast<int>(zero);
    return group;
  }

  void finish(std::size_t begin, std::size_t count, std::size_t number,
              const Group<T>& group) const noexcept {
    const T nan = std::numeric_limits<T>::quiet_NaN();
    if (!arrays_.scales.empty()) arrays_.scales[number] = group.finite ? group.scale : nan;
    if (!arrays_.zero_points.empty())
      arrays_.zero_points[number] = static_cast<std::uint8_t>(group.zero_point);
    if (!group.finite) {
      std::ranges::fill(result_.subspan(begin, count), nan);
      if (!arrays_.codes.empty()) std::ranges::fill(arrays_.codes.subspan(begin, count), std::uint8_t{0});
      return;
    }
    // Levels in steps of a fraction of the scale. The shift keeps products of large values finite, and
    // changes nothing else: it is a power of two.
    const T shift = group.scale > T{1} ? T{0.0625} : T{1};
    const auto even = [&](T per_scale, T lowest, T highest) {
      return detail::EvenLevels<T>{per_scale * shift, group.scale * shift, lowest, highest};
    };
    switch (options_.format) {
      case QuantizerFormat::fp4_e1m2: {
        const T highest = released() ? T{4} : T{7};
        round<true>(begin, count, number, even(T{4}, -highest, highest), group.scale / T{4},
                    detail::e1m2_code<T>);
        break;
      }
      case QuantizerFormat::fp4_e2m1:
        round<true>(begin, count, number, detail::E2M1Levels<T>{group.scale}, group.scale,
                    detail::e2m1_code<T>);
        break;
      case QuantizerFormat::int4_weight: {
        const auto zero = static_cast<T>(group.zero_point);
        round<false>(begin, count, number, even(T{1}, -zero, T{15} - zero), group.scale,
                     [zero](T steps) { return static_cast<std::uint8_t>(static_cast<int>(steps + zero)); });
        break;
      }
      case QuantizerFormat::int4_activation:
        round<false>(begin, count, number, even(T{7}, released() ? T{-8} : T{-7}, T{7}), group.scale / T{7},
                     [](T steps) { return static_cast<std::uint8_t>(static_cast<int>(steps) & 15); });
        break;
    }
  }

  /// `step` times what `levels` rounds to.
  template <bool kSigned, class Levels, class Code>
  void round(std::size_t begin, std::size_t count, std::size_t number, const Levels& levels, T step,
             Code code) const noexcept {
    const bool stochastic = options_.rounding == QuantizerRounding::stochastic;
    const bool shifted = released() && options_.format == QuantizerFormat::int4_activation;
    const std::uint32_t key = stochastic ? detail::random_key(options_.seed, arrays_.draw, number) : 0;
    T rounded[kBlock];
    T drawn[kBlock];
    for (std::size_t at = begin, left = count; left > 0;) {
      const std::size_t n = std::min(left, kBlock);
      const T* values = values_.data() + at;
      if (!stochastic) {
        levels.template round<Rounding::nearest_even>(values, nullptr, n, rounded);
      } else {
        const T* noise = drawn;
        if (arrays_.noise.empty()) {
          draw_noise(key + static_cast<std::uint32_t>(at - begin), n, drawn);
        } else {
          noise = arrays_.noise.data() + at;
        }
        if (shifted) {
          levels.template round<Rounding::released_stochastic>(values, noise, n, rounded);
        } else {
          levels.template round<Rounding::stochastic>(values, noise, n, rounded);
        }
      }
      if constexpr (kSigned) detail::copy_signs(values, n, rounded);
      T* result = result_.data() + at;
      for (std::size_t i = 0; i < n; ++i) result[i] = rounded[i] * step;
      if (!arrays_.codes.empty()) {
        std::uint8_t* codes = arrays_.codes.data() + at;
        for (std::size_t i = 0; i < n; ++i) codes[i] = code(rounded[i]);
      }
      at += n;
      left -= n;
    }
  }

  std::span<const T> values_;
  std::span<T> result_;
  const QuantizerOptions& options_;
  const QuantizerArrays<T>& arrays_;
};

Status wrong_size(const char* name, std::size_t size, std::size_t expected, const char* per) {
  return {StatusCode::shape_mismatch,
          fmt::format("{} holds {} numbers, expected {}, one per {}", name, size, expected, per)};
}

template <class T>
Status check(std::span<const T> values, std::span<T> result, const QuantizerOptions& options,
             const QuantizerArrays<T>& arrays) {
  GRADSTAB_RETURN_IF_ERROR(options.validate());
  const auto scale = static_cast<T>(options.fixed_scale);
  if (options.fixed_scale > 0.0 && !std::isnormal(scale)) {
    return {StatusCode::invalid_argument,
            fmt::format("fixed_scale must be a normal number of the values' type, got {:.10g}",
                        options.fixed_scale)};
  }
  const std::size_t count = values.size();
  const auto misfit = [](const auto& span, std::size_t expected) {
    return !span.empty() && span.size() != expected;
  };
  if (result.size() != count) return wrong_size("result", result.size(), count, "value");
  const std::less<const T*> before;
  if (values.data() != result.data() && before(values.data(), result.data() + count) &&
      before(result.data(), values.data() + count)) {
    return {StatusCode::shape_mismatch, "result overlaps the values, expected the same place or another"};
  }
  if (options.compat == Compat::released && options.format != QuantizerFormat::fp4_e2m1 &&
      count % static_cast<std::size_t>(options.group_size) != 0) {
    return {StatusCode::shape_mismatch,
            fmt::format("got {} values, expected under compat 'released' a multiple of group_size {}", count,
                        options.group_size)};
  }
  if (!arrays.noise.empty() && options.rounding != QuantizerRounding::stochastic)
    return {StatusCode::invalid_argument, "noise is for stochastic rounding, got rounding nearest_even"};
  const std::size_t groups = options.group_count(count);
  if (misfit(arrays.noise, count)) return wrong_size("noise", arrays.noise.size(), count, "value");
  if (misfit(arrays.codes, count)) return wrong_size("codes", arrays.codes.size(), count, "value");
  if (misfit(arrays.scales, groups)) return wrong_size("scales", arrays.scales.size(), groups, "group");
  if (misfit(arrays.zero_points, groups))
    return wrong_size("zero_points", arrays.zero_points.size(), groups, "group");
  return {};
}

template <class T>
Status run(std::span<const T> values, std::span<T> result, const QuantizerOptions& options,
           const QuantizerArrays<T>& arrays) {
  GRADSTAB_RETURN_IF_ERROR(check(values, result, options, arrays));
  Quantizer<T>(values, result, options, arrays).run();
  return {};
}

}  // namespace

Status fake_quantize(std::span<const float> values, std::span<float> result, const QuantizerOptions& options,
                     const QuantizerArrays<float>& arrays) {
  return run(values, result, options, arrays);
}

Status fake_quantize(std::span<const double> values, std::span<double> result,
                     const QuantizerOptions& options, const QuantizerArrays<double>& arrays) {
  return run(values, result, options, arrays);
}

}  // namespace gradstab::lab
