// Whether two quantities rise together, whatever the form of their relation.
#pragma once

#include <span>

namespace gradstab::lab {

/// Spearman's: the correlation of the ranks, equal values having the mean of theirs. NaN for fewer than three
/// values, and where all values of a side are equal. Throws std::invalid_argument for lists of unequal
/// length.
double rank_correlation(std::span<const double> x, std::span<const double> y);

}  // namespace gradstab::lab
