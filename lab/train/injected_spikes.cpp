#include "lab/train/injected_spikes.hpp"

#include <fmt/format.h>

#include <cmath>

#include "lab/support/numbers.hpp"
#include "lab/support/split.hpp"

namespace gradstab::lab {
namespace {

/// SplitMix64 (Steele, Lea and Flood, 2014): nearby inputs give unrelated outputs.
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

enum Purpose : std::uint64_t { kWhether = 1, kWhich = 2 };

std::uint64_t draw(std::uint64_t seed, std::int64_t update, std::uint64_t purpose) {
  return mixed(mixed(mixed(seed) + static_cast<std::uint64_t>(update)) + purpose);
}

/// In [0, 1).
double uniform(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::optional<InjectedSpike> parse_spike(std::string_view text) {
  constexpr std::string_view kRandom = "random:";
  InjectedSpike spike;
  const bool random = text.starts_with(kRandom);
  if (random) text.remove_prefix(kRandom.size());
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {};
  const std::string_view when = text.substr(0, colon);
  if (!(random ? read_value(when, spike.probability) : read_value(when, spike.update)).ok()) return {};
  if (random ? !(spike.probability > 0.0 && spike.probability <= 1.0) : spike.update < 1) return {};
  const std::string_view factor = text.substr(colon + 1);
  if (!read_value(factor, spike.factor).ok() || std::isinf(spike.factor)) return {};
  return spike;
}

}  // namespace

Result<std::vector<InjectedSpike>> parse_injected_spikes(const std::string& text) {
  std::vector<InjectedSpike> spikes;
  if (text.empty()) return spikes;
  for (const std::string& part : split(text, ',')) {
    const auto spike = parse_spike(part);
    if (!spike) {
      return Status(StatusCode::invalid_argument,
                    fmt::format("inject_spikes must be UPDATE:FACTOR with an update of at least 1, or "
                                "random:PROBABILITY:FACTOR with a probability in (0, 1], got '{}'",
                                part));
    }
    spikes.push_back(*spike);
  }
  return spikes;
}

std::optional<double> injected_factor(const std::vector<InjectedSpike>& spikes, std::uint64_t seed,
                                      std::int64_t update) {
  std::optional<double> factor;
  for (std::size_t i = 0; i < spikes.size(); ++i) {
    const InjectedSpike& spike = spikes[i];
    const bool hit = spike.update == 0 ? uniform(draw(seed + i, update, kWhether)) < spike.probability
                                       : spike.update == update;
    if (hit) factor = factor.value_or(1.0) * spike.factor;
  }
  return factor;
}

std::size_t poisoned_gradient(std::uint64_t seed, std::int64_t update, std::size_t count) {
  return static_cast<std::size_t>(draw(seed, update, kWhich) % count);
}

}  // namespace gradstab::lab
