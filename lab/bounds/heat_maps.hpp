// The uniform bound and its two factors over a grid of gammas: the paper's Figure 2, and their product.
#pragma once

#include <optional>
#include <vector>

#include "lab/bounds/bounds_summary.hpp"

namespace gradstab::lab {

/// Lemma 3.6 as a product: uniform_bound = spike * build_up.
struct BoundFactors {
  double spike;  ///< (1-gamma1)/sqrt(1-gamma2): rho of a spike beside which everything before is nothing
  double
      build_up;  ///< 1/sqrt(1-gamma1^2/gamma2): what the norms before can add; infinity where no bound exists
  double bound;
};

/// For the gammas of `request`, paper form and published rule.
BoundFactors bound_factors(const BoundsRequest& request);

/// Values over gamma1 = 0, 0.01 .. 0.99 and 1-gamma2 = 0.1 .. 0.00001, twenty to the decade. Of the point (i,
/// j) is [j * gamma1.size() + i].
struct HeatMaps {
  std::vector<double> gamma1;
  std::vector<double> one_minus_gamma2;
  std::vector<BoundFactors> published;
  std::vector<double> robust_bound;  ///< with robust moments; empty where kappa is 0
};

/// Only the kappa of `request` matters.
HeatMaps heat_maps(const BoundsRequest& request);

}  // namespace gradstab::lab
