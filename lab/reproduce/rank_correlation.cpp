#include "lab/reproduce/rank_correlation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

namespace gradstab::lab {
namespace {

std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<double> ranks;
  ranks.reserve(values.size());
  for (const double value : values) {
    const auto below = std::ranges::count_if(values, [&](double other) { return other < value; });
    const auto equal = std::ranges::count(values, value);
    ranks.push_back(static_cast<double>(below) + 0.5 * static_cast<double>(equal + 1));
  }
  return ranks;
}

bool all_equal(std::span<const double> values) {
  return std::ranges::count(values, values.front()) == static_cast<std::ptrdiff_t>(values.size());
}

}  // namespace

double rank_correlation(std::span<const double> x, std::span<const double> y) {
  if (x.size() != y.size()) throw std::invalid_argument("a rank correlation of lists of unequal length");
  constexpr std::size_t kFewest = 3;
  if (x.size() < kFewest || all_equal(x) || all_equal(y)) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> ranks_of_x = ranks_of(x), ranks_of_y = ranks_of(y);
  const double middle = 0.5 * static_cast<double>(x.size() + 1);  // the mean of the ranks of either
  double products = 0.0, squares_of_x = 0.0, squares_of_y = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = ranks_of_x[i] - middle, dy = ranks_of_y[i] - middle;
    products += dx * dy;
    squares_of_x += dx * dx;
    squares_of_y += dy * dy;
  }
  return products / std::sqrt(squares_of_x * squares_of_y);
}

}  // namespace gradstab::lab
