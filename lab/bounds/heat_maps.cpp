#include "lab/bounds/heat_maps.hpp"

#include <cmath>
#include <limits>

#include "gradstab/bounds.hpp"

namespace gradstab::lab {

BoundFactors bound_factors(const BoundsRequest& request) {
  const StabilizerOptions options = request.published(false);
  const double spike = spike_bound(options, std::numeric_limits<double>::infinity());
  const double bound = uniform_bound(options);
  return {spike, bound / spike, bound};
}

HeatMaps heat_maps(const BoundsRequest& request) {
  constexpr int kColumns = 100;
  constexpr int kRowsPerDecade = 20;
  constexpr int kDecades = 4;
  HeatMaps maps;
  for (int i = 0; i < kColumns; ++i) maps.gamma1.push_back(i / 100.0);
  for (int j = 0; j <= kDecades * kRowsPerDecade; ++j)
    maps.one_minus_gamma2.push_back(std::pow(10.0, -1.0 - static_cast<double>(j) / kRowsPerDecade));
  for (const double one_minus_gamma2 : maps.one_minus_gamma2) {
    for (const double gamma1 : maps.gamma1) {
      BoundsRequest point = request;
      point.gamma1 = gamma1;
      point.gamma2 = 1.0 - one_minus_gamma2;
      maps.published.push_back(bound_factors(point));
      if (request.kappa > 0.0) maps.robust_bound.push_back(uniform_bound(point.robust(true)));
    }
  }
  return maps;
}

}  // namespace gradstab::lab
