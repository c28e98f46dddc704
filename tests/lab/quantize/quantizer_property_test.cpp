// What fake_quantize promises of every group of values.
#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/quantize/fake_quantize.hpp"
#include "property/generators.hpp"
#include "property/property.hpp"
#include "quantized.hpp"

namespace gradstab::lab {
namespace {

using testing::quantize;
using testing::Quantized;

template <class T>
constexpr double kEpsilon = std::numeric_limits<T>::epsilon();

/// Any format, group size and number of kept values, in the robust form.
QuantizerOptions any_options() {
  QuantizerOptions options;
  options.format = static_cast<QuantizerFormat>(testing::any_of(4));
  options.group_size = 1 + testing::any_of(300);
  if (options.format != QuantizerFormat::int4_weight)
    options.keep_largest = std::min<std::int64_t>(options.group_size - 1, testing::any_of(4));
  return options;
}

/// Up to 600 values, normal or over ten decades, around a magnitude anywhere in the middle of the type's
/// range.
template <class T>
std::vector<T> any_values() {
  std::mt19937_64 random = testing::random_engine();
  const bool wide = testing::any_of(2) == 1;
  const double magnitude = std::pow(10.0, testing::any_of(21) - 10);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> decades(-10.0, 0.0);
  std::vector<T> values(static_cast<std::size_t>(1 + testing::any_of(600)));
  for (T& value : values)
    value = static_cast<T>(magnitude * normal(random) * (wide ? std::pow(10.0, decades(random)) : 1.0));
  return values;
}

/// All that a value may become, in units of the scale, rising. Written out, as an independent list.
std::vector<double> levels(QuantizerFormat format, int zero_point) {
  switch (format) {
    case QuantizerFormat::fp4_e1m2:
      return {-1.75, -1.5, -1.25, -1, -.75, -.5, -.25, 0, .25, .5, .75, 1, 1.25, 1.5, 1.75};
    case QuantizerFormat::fp4_e2m1:
      return {-6, -4, -3, -2, -1.5, -1, -.5, 0, .5, 1, 1.5, 2, 3, 4, 6};
    case QuantizerFormat::int4_weight: {
      std::vector<double> list;
      for (int level = -zero_point; level <= 15 - zero_point; ++level) list.push_back(level);
      return list;
    }
    case QuantizerFormat::int4_activation: {
      std::vector<double> list;
      for (int level = -7; level <= 7; ++level) list.push_back(level / 7.0);
      return list;
    }
  }
  return {};
}

/// Which values of a group are kept: the largest magnitudes, the first of equals.
template <class T>
std::vector<bool> kept_of(const std::vector<T>& values, const QuantizerOptions& options) {
  std::vector<bool> kept(values.size());
  const auto size = static_cast<std::size_t>(options.group_size);
  for (std::size_t begin = 0; begin < values.size(); begin += size) {
    std::vector<std::size_t> order;
    for (std::size_t i = begin; i < std::min(values.size(), begin + size); ++i) order.push_back(i);
    std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return std::fabs(values[i]); });
    for (std::size_t k = 0;
         k < std::min<std::size_t>(order.size(), static_cast<std::size_t>(options.keep_largest)); ++k)
      kept[order[k]] = true;
  }
  return kept;
}

template <class T>
void check_nearest_levels() {
  const QuantizerOptions options = any_options();
  const std::vector<T> values = any_values<T>();
  const Quantized<T> q = quantize(values, options);
  const auto kept = kept_of(values, options);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (kept[i]) {
      RC_ASSERT(q.values[i] == values[i]);
      continue;
    }
    const std::size_t group = i / static_cast<std::size_t>(options.group_size);
    const double scale = q.scales[group];
    double least = std::numeric_limits<double>::infinity();
    for (const double level : levels(options.format, q.zero_points[group]))
      least = std::min(least, std::fabs(values[i] - level * scale));
    // The quotient, the scale's fraction and the product are rounded once each.
    const double slack = 3.0 * kEpsilon<T> * (std::fabs(double{values[i]}) + scale);
    RC_ASSERT(std::fabs(double{values[i]} - double{q.values[i]}) <= least + slack);
  }
}

GRADSTAB_PROPERTY(QuantizerPropertyTest, EveryFloatGoesToItsNearestLevel) {
  check_nearest_levels<float>();
}
GRADSTAB_PROPERTY(QuantizerPropertyTest, EveryDoubleGoesToItsNearestLevel) {
  check_nearest_levels<double>();
}

/// The largest error over a fine sweep, in units of what it may be: half of the distance between the levels.
TEST(QuantizerPropertyTest, TheErrorReachesHalfALocalStepAndNoMore) {
  for (const auto format : {QuantizerFormat::fp4_e1m2, QuantizerFormat::fp4_e2m1,
                            QuantizerFormat::int4_weight, QuantizerFormat::int4_activation}) {
    const QuantizerOptions options{.format = format, .group_size = 20001};
    std::vector<double> values;
    for (int i = 0; i <= 20000; ++i) values.push_back((i - 10000) * 1e-4);
    const auto q = quantize(values, options);
    const auto grid = levels(format, q.zero_points[0]);
    double worst = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = values[i] / q.scales[0];
      const auto above = std::ranges::lower_bound(grid, x);
      if (above == grid.begin() || above == grid.end()) continue;
      const double half = 0.5 * (*above - *(above - 1)) * q.scales[0];
      worst = std::max(worst, std::fabs(q.values[i] - values[i]) / half);
    }
    EXPECT_GT(worst, 0.99);
    EXPECT_LT(worst, 1.0 + 1e-12);
  }
}

GRADSTAB_PROPERTY(QuantizerPropertyTest, CodesScalesAndZeroPointsSayTheValues) {
  const QuantizerOptions options = any_options();
  const std::vector<float> values = any_values<float>();
  const auto q = quantize(values, options);
  const auto kept = kept_of(values, options);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int code = q.codes[i];
    const std::size_t group = i / static_cast<std::size_t>(options.group_size);
    double level = 0.0;
    switch (options.format) {
      case QuantizerFormat::fp4_e1m2:
      case QuantizerFormat::fp4_e2m1:
        level =
            levels(options.format, 0).at(static_cast<std::size_t>(7 + (code & 7))) * (code & 8 ? -1.0 : 1.0);
        break;
      case QuantizerFormat::int4_weight:
        level = code - q.zero_points[group];
        break;
      case QuantizerFormat::int4_activation:
        level = (code < 8 ? code : code - 16) / 7.0;
        break;
    }
    RC_ASSERT(code < 16);
    const double expected = level * q.scales[group];
    if (kept[i]) {
      RC_ASSERT(level == 0.0);
    } else {
      RC_ASSERT(std::fabs(q.values[i] - expected) <= 2.0 * kEpsilon<float> * std::fabs(expected));
    }
  }
}

/// The scale divides the largest magnitude without a remainder, and the levels are exact in the type: then
/// quantizing has nothing to do the second time. With a rounded scale the largest may move by one rounding.
GRADSTAB_PROPERTY(QuantizerPropertyTest, Fp4OfAnExactScaleIsIdempotent) {
  const bool e2m1 = testing::any_of(2) == 1;
  const QuantizerOptions options = e2m1 ? QuantizerOptions::e2m1() : QuantizerOptions::e1m2();
  std::mt19937_64 random = testing::random_engine();
  // 20 bits, so that levels of three more are exact in float's 24.
  const auto scale = std::ldexp(static_cast<float>((1 << 19) + static_cast<int>(random() % (1 << 19))),
                                testing::any_of(80) - 60);
  const float most = (e2m1 ? 6.0f : 1.75f) * scale;
  std::uniform_real_distribution<float> inside(-most, most);
  std::vector<float> values(static_cast<std::size_t>(1 + testing::any_of(256)));
  for (float& value : values) value = inside(random);
  values[random() % values.size()] = random() % 2 == 0 ? most : -most;
  const auto once = quantize(values, options);
  RC_ASSERT(once.scales[0] == scale);
  RC_ASSERT(quantize(once.values, options).values == once.values);
}

/// Bit for bit, -0 included.
template <class T>
bool identical(const std::vector<T>& a, const std::vector<T>& b) {
  return std::ranges::equal(a, b, [](T x, T y) { return x == y && std::signbit(x) == std::signbit(y); });
}

template <class T>
void check_powers_of_two() {
  QuantizerOptions options = any_options();
  if (testing::any_of(2) == 1) options.rounding = QuantizerRounding::stochastic;
  const int exponent = testing::any_of(100) - 50;
  const std::vector<T> values = any_values<T>();
  std::vector<T> scaled = values;
  for (T& value : scaled) value = std::ldexp(value, exponent);
  std::vector<T> expected = quantize(values, options).values;
  for (T& value : expected) value = std::ldexp(value, exponent);
  RC_ASSERT(identical(quantize(scaled, options).values, expected));
}

GRADSTAB_PROPERTY(QuantizerPropertyTest, AFactorOfAPowerOfTwoGoesThroughFloats) {
  check_powers_of_two<float>();
}
GRADSTAB_PROPERTY(QuantizerPropertyTest, AFactorOfAPowerOfTwoGoesThroughDoubles) {
  check_powers_of_two<double>();
}

/// The floors of the released form break it.
TEST(QuantizerPropertyTest, AFactorOfAPowerOfTwoDoesNotGoThroughAFloor) {
  auto options = QuantizerOptions::int4_activations();
  options.compat = Compat::released;
  options.group_size = 4;
  std::vector<float> values = {1.0f, 2.0f, 0.5f, 0.25f};
  EXPECT_EQ(quantize(values, options).values[2], 0.5f);
  for (float& value : values) value = std::ldexp(value, -40);
  EXPECT_EQ(quantize(values, options).values[2], 0.0f);
}

GRADSTAB_PROPERTY(QuantizerPropertyTest, TheOppositeValuesBecomeTheOppositeLevels) {
  const QuantizerOptions options = any_options();
  if (options.format == QuantizerFormat::int4_weight) return;  // not symmetric
  const std::vector<float> values = any_values<float>();
  std::vector<float> opposite = values;
  for (float& value : opposite) value = -value;
  std::vector<float> expected = quantize(values, options).values;
  for (float& value : expected) value = -value;
  const auto got = quantize(opposite, options).values;
  RC_ASSERT(got == expected);
  // INT4 has no zero of its own for negative numbers.
  if (options.format != QuantizerFormat::int4_activation) RC_ASSERT(identical(got, expected));
}

/// The levels around a value, the same twice for a level itself.
std::pair<double, double> neighbours(const std::vector<double>& grid, double scale, double value) {
  const auto above = std::ranges::lower_bound(grid, value / scale);
  if (above == grid.end()) return {grid.back() * scale, grid.back() * scale};
  const bool exact = *above * scale == value || above == grid.begin();
  return {(exact ? *above : *(above - 1)) * scale, *above * scale};
}

GRADSTAB_PROPERTY(QuantizerPropertyTest, StochasticRoundingTakesOneOfTwoNeighbours) {
  QuantizerOptions options = any_options();
  options.rounding = QuantizerRounding::stochastic;
  options.seed = *rc::gen::arbitrary<std::uint64_t>();
  const std::vector<double> values = any_values<double>();
  const auto q = quantize(values, options, 1);
  const auto kept = kept_of(values, options);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (kept[i]) continue;
    const std::size_t group = i / static_cast<std::size_t>(options.group_size);
    const double scale = q.scales[group];
    const auto [below, above] = neighbours(levels(options.format, q.zero_points[group]), scale, values[i]);
    const double slack = 4.0 * kEpsilon<double> * (std::fabs(values[i]) + scale);
    RC_ASSERT(std::fabs(q.values[i] - below) <= slack || std::fabs(q.values[i] - above) <= slack);
  }
}

/// The means of `draws` draws, in standard deviations from the values; the worst of all.
double worst_bias(const QuantizerOptions& options, const std::vector<float>& values, int draws) {
  std::vector<double> sum(values.size());
  Quantized<float> q;
  for (int draw = 0; draw < draws; ++draw) {
    q = quantize(values, options, static_cast<std::uint64_t>(draw));
    for (std::size_t i = 0; i < values.size(); ++i) sum[i] += q.values[i];
  }
  const auto grid = levels(options.format, q.zero_points[0]);
  double worst = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [below, above] = neighbours(grid, q.scales[0], values[i]);
    // At an end, where half a step of INT4 weights may saturate.
    if (below == above) continue;
    const double chance = (values[i] - below) / (above - below);
    const double deviation = (above - below) * std::sqrt(chance * (1.0 - chance) / draws);
    // Float rounding of levels and scale, besides what chance does.
    const double rounding = 4.0 * kEpsilon<float> * (std::fabs(values[i]) + q.scales[0]);
    const double off = std::max(0.0, std::fabs(sum[i] / draws - values[i]) - rounding);
    worst = std::max(worst, off / deviation);
  }
  return worst;
}

TEST(QuantizerPropertyTest, StochasticRoundingIsRightOnAverage) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal;
  std::vector<float> values(100);
  for (float& value : values) value = normal(random);
  for (const auto format : {QuantizerFormat::fp4_e1m2, QuantizerFormat::fp4_e2m1,
                            QuantizerFormat::int4_weight, QuantizerFormat::int4_activation}) {
    QuantizerOptions options{.format = format, .rounding = QuantizerRounding::stochastic, .seed = 5};
    EXPECT_LT(worst_bias(options, values, 20000), 5.0);
    options.rounding = QuantizerRounding::nearest_even;
    EXPECT_GT(worst_bias(options, values, 20000), 5.0);
  }
}

}  // namespace
}  // namespace gradstab::lab
