// The comparison that golden vectors are made for: relative to the largest value of a tensor.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace gradstab::fixture {

/// Empty if `got` agrees with `expected`, else what differs most: max |got - expected| <= tolerance * max
/// |expected| over the finite values, NaN where NaN is expected, and the same infinity where one is.
std::string difference(std::span<const double> got, std::span<const double> expected, double tolerance);

/// The same for each tensor of a list, all of which must agree.
std::string difference(const std::vector<std::vector<double>>& got,
                       const std::vector<std::vector<double>>& expected, double tolerance);

/// A copy whose largest finite value is off by twice the tolerance: what `difference` must notice. For
/// negative controls.
std::vector<std::vector<double>> perturbed(std::vector<std::vector<double>> values, double tolerance);

}  // namespace gradstab::fixture
