#include "core/step/power_norm.hpp"

#include "core/base/element_access.hpp"

namespace gradstab {

double power_sum(const GradientView& gradient, Piece piece, double p, int exponent) noexcept {
  double sum = 0.0;
  for_each_element(gradient, piece, [&](const std::byte* element) {
    const double value = std::fabs(load_element(element, gradient.dtype));
    sum += std::pow(std::ldexp(value, -exponent), p);
  });
  return sum;
}

void PowerNorms::bind(std::vector<double> powers, std::size_t segments, std::size_t blocks) {
  std::ranges::sort(powers);
  powers.erase(std::unique(powers.begin(), powers.end()), powers.end());
  powers_ = std::move(powers);
  segments_ = segments;
  blocks_ = blocks;
  norms_.assign(powers_.size() * segments, 0.0);
  sums_.assign(powers_.size() * blocks, 0.0);
}

void PowerNorms::measure_block(std::size_t block, const GradientView& gradient, Piece piece,
                               double largest) noexcept {
  for (std::size_t k = 0; k < powers_.size(); ++k) {
    sums_[k * blocks_ + block] = power_sum(gradient, piece, powers_[k], power_exponent(largest));
  }
}

void PowerNorms::finish_segment(std::size_t segment, std::size_t begin, std::size_t end,
                                std::span<const double> largest) noexcept {
  for (std::size_t k = 0; k < powers_.size(); ++k) {
    const double p = powers_[k];
    norms_[k * segments_ + segment] = root_of_powers(end - begin, p, [&](std::size_t i) {
      const std::size_t block = begin + i;
      return std::ldexp(std::pow(sums_[k * blocks_ + block], 1.0 / p), power_exponent(largest[block]));
    });
  }
}

std::span<const double> PowerNorms::norms(double p) const noexcept {
  const auto found = std::ranges::find(powers_, p);
  if (found == powers_.end()) return {};
  const auto index = static_cast<std::size_t>(found - powers_.begin());
  return std::span(norms_).subspan(index * segments_, segments_);
}

}  // namespace gradstab
