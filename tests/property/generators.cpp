#include "property/generators.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ostream>

namespace gradstab::testing {
namespace {

/// Fixed, so that a failure today is a failure tomorrow; RapidCheck prints it. Set before its first check.
[[maybe_unused]] const int fixed_seed = setenv("RC_PARAMS", "seed=20250217 max_success=500", 0);

constexpr const char* kNames[] = {"constant", "worst_growth", "spikes", "alternating", "heavy_tailed",
                                  "sparse",   "denormal",     "huge",   "collapsing",  "everything"};
constexpr int kHistories = 10;

double uniform(std::mt19937_64& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

StabilizerOptions random_options(bool uniformly_bounded) {
  constexpr std::pair<double, double> kKnown[] = {{0.6, 0.999}, {0.85, 0.99}, {0.7, 0.9},   {0.0, 0.999},
                                                  {0.0, 0.0},   {0.9, 0.95},  {0.6, 0.9999}};
  StabilizerOptions options;
  const int known = any_of(14);
  if (known < 7) {
    std::tie(options.gamma1, options.gamma2) = kKnown[known];
  } else {
    std::mt19937_64 random = random_engine();
    options.gamma2 = 1.0 - std::pow(10.0, uniform(random, -4.0, -0.05));
    const double limit = uniformly_bounded ? std::sqrt(options.gamma2) : 1.0;
    options.gamma1 = uniform(random, 0.0, 0.999) * limit;
  }
  options.bias_correction = *rc::gen::arbitrary<bool>();
  return options;
}

double norm_at(History history, std::size_t i, double a, double b, const StabilizerOptions& options,
               std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  switch (history) {
    case History::constant:
      return a;
    case History::worst_growth:
      return options.gamma1 > 0.0 ? a * std::pow(options.gamma2 / options.gamma1, static_cast<double>(i)) : a;
    case History::spikes:
      return std::exp(0.3 * normal(random)) *
             (random() % 20 == 0 ? std::pow(10.0, uniform(random, 1, 12)) : 1.0);
    case History::alternating:
      return i % 2 ? a : b;
    case History::heavy_tailed:
      return std::fabs(normal(random) / normal(random));
    case History::sparse:
      return random() % 8 == 0 ? a * std::exp(normal(random)) : 0.0;
    case History::denormal:
      return std::ldexp(static_cast<double>(1 + random() % 1000), -1074);
    case History::huge:
      return 1.7e308 * uniform(random, 0.01, 1.0);
    case History::collapsing:
      return a * std::pow(b < 1.0 ? b : 1.0 / b, static_cast<double>(i) / 10.0);
    case History::everything:
      return std::pow(10.0, uniform(random, -300.0, 300.0));
  }
  return 1.0;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, History history) {
  return out << kNames[static_cast<int>(history)];
}

std::ostream& operator<<(std::ostream& out, const NormSequence& sequence) {
  out << sequence.history << " of " << sequence.norms.size() << ":";
  for (std::size_t i = 0; i < std::min<std::size_t>(sequence.norms.size(), 30); ++i)
    out << " " << sequence.norms[i];
  return out;
}

std::mt19937_64 random_engine() {
  return std::mt19937_64(*rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>()));
}

int any_of(int count) {
  return *rc::gen::noShrink(rc::gen::resize(rc::kNominalSize, rc::gen::inRange(0, count)));
}

rc::Gen<StabilizerOptions> options() {
  return rc::gen::exec([] { return random_options(true); });
}

rc::Gen<StabilizerOptions> paper_options() {
  return rc::gen::exec([] {
    StabilizerOptions options = random_options(true);
    options.bias_correction = false;
    return options;
  });
}

rc::Gen<StabilizerOptions> options_without_uniform_bound() {
  return rc::gen::exec([] { return random_options(false); });
}

rc::Gen<NormSequence> norm_sequence(const StabilizerOptions& options, std::size_t longest, double within) {
  return rc::gen::exec([=] {
    NormSequence sequence;
    sequence.history = *rc::gen::arbitrary<History>();
    const std::size_t length = *rc::gen::inRange<std::size_t>(1, longest + 1);
    std::mt19937_64 random = random_engine();
    const double a = std::pow(10.0, uniform(random, -6.0, 6.0));
    const double b = std::pow(10.0, uniform(random, -6.0, 6.0));
    for (std::size_t i = 0; i < length; ++i) {
      const double norm = norm_at(sequence.history, i, a, b, options, random);
      sequence.norms.push_back(norm == 0.0 ? 0.0 : std::clamp(norm, 1.0 / within, within));
    }
    return sequence;
  });
}

Values vector_of_norm(std::mt19937_64& random, std::size_t count, double norm) {
  std::normal_distribution<double> normal;
  Values direction(count);
  for (double& value : direction) value = normal(random);
  const double length = norm_of(direction);
  for (double& value : direction) value = value / length * norm;
  return direction;
}

double rounding_slack(const StabilizerOptions& options, std::int64_t steps) {
  // m and v are sums of positive terms, so an error made w steps ago fades like its term: at most 1/(1-gamma)
  // of them count, 4 roundings per step for m and 6 for v, of which the root halves the effect. The bound's
  // sum of powers of x passes on the 3 roundings of x as often as its terms differ from 1: 1/(1-x) times
  // below 1, else once per step; the root halves that too. The rest is a constant number of operations.
  constexpr double kRoundoff = 0x1p-53;
  const auto t = static_cast<double>(steps);
  const double x = options.gamma2 > 0.0 ? options.gamma1 * options.gamma1 / options.gamma2 : 0.0;
  const double first = std::fmin(t, 1.0 / (1.0 - options.gamma1));
  const double second = std::fmin(t, 1.0 / (1.0 - options.gamma2));
  const double sum = x < 1.0 ? std::fmin(t, 1.0 / (1.0 - x)) : t;
  return kRoundoff * (4.0 * first + 3.0 * second + 1.5 * sum + 20.0);
}

}  // namespace gradstab::testing

namespace rc {
Gen<gradstab::testing::History> Arbitrary<gradstab::testing::History>::arbitrary() {
  return gen::cast<gradstab::testing::History>(
      gen::resize(kNominalSize, gen::inRange(0, gradstab::testing::kHistories)));
}
}  // namespace rc
