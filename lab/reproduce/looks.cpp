#include "lab/reproduce/looks.hpp"

#include <algorithm>
#include <span>

#include "lab/report/grouping.hpp"

namespace gradstab::lab {

std::vector<int> looks_up_to(int first, int most) {
  std::vector<int> looks;
  for (int seeds = first; seeds < most; seeds += (seeds + 1) / 2) looks.push_back(seeds);
  looks.push_back(most);
  return looks;
}

std::vector<double> error_rates(const std::vector<int>& looks) {
  std::vector<double> rates;
  int before = 0;
  for (const int seeds : looks) {
    rates.push_back(kErrorRate * (seeds - before) / looks.back());
    before = seeds;
  }
  return rates;
}

Interval interval_over_looks(const std::vector<double>& values, const std::vector<int>& looks) {
  const std::vector<double> rates = error_rates(looks);
  Interval all, last;
  for (std::size_t i = 0; i < looks.size(); ++i) {
    const auto seeds = static_cast<std::size_t>(looks[i]);
    if (seeds > values.size()) break;
    const Spread spread = spread_of(std::span(values).first(seeds));
    last = interval_of_mean(spread.mean, spread.deviation, spread.finite, rates[i]);
    all = all.intersected(last);
  }
  return all.empty() ? last : all;
}

}  // namespace gradstab::lab
