#include "lab/nn/counter_random.hpp"

#include <cmath>
#include <numbers>

namespace gradstab::lab::nn {

double counter_normal(std::uint64_t index, CounterKey key) noexcept {
  const double radius = std::sqrt(-2 * std::log(counter_uniform(2 * index, key)));
  return radius * std::cos(2 * std::numbers::pi * counter_uniform(2 * index + 1, key));
}

}  // namespace gradstab::lab::nn
