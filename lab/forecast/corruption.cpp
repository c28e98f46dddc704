#include "lab/forecast/corruption.hpp"

#include <fmt/format.h>

#include <cmath>

namespace gradstab::lab::forecast {
namespace {
/// Places of a draw that no model has.
constexpr std::uint64_t kWherePlace = std::uint64_t{1} << 32;
constexpr std::uint64_t kNoisePlace = kWherePlace + 1;
}  // namespace

Status Corruption::validate() const {
  if (!(probability >= 0 && probability <= 1))
    return {StatusCode::invalid_argument,
            fmt::format("corrupt_probability must be in [0, 1], got {}", probability)};
  if (!(level >= 0 && std::isfinite(level)))
    return {StatusCode::invalid_argument,
            fmt::format("corrupt_level must be finite and at least 0, got {}", level)};
  return {};
}

void corrupt(std::span<float> inputs, const Corruption& corruption, double maximum, const nn::Draw& draw) {
  if (corruption.probability == 0 || corruption.level == 0) return;
  const nn::CounterKey where = draw.key(kWherePlace);
  const nn::CounterKey noise = draw.key(kNoisePlace);
  const double deviation = corruption.level * maximum;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (nn::counter_uniform(i, where) < corruption.probability)
      inputs[i] = static_cast<float>(inputs[i] + deviation * nn::counter_normal(i, noise));
}

}  // namespace gradstab::lab::forecast
