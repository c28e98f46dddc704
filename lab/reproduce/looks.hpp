// Adding seeds until the claims are decided, without deciding by chance.
//
// Whoever looks at an interval after every seed, and stops as soon as it excludes zero, finds effects that
// are not there: the chance of an error is that of all looks together. Here the looks are fixed beforehand,
// and each may err only with its share of the 5 %, in proportion to the seeds since the look before (the
// linear spending function of Lan and DeMets, Biometrika 70, 1983). The shares add up to 5 %, so the
// intervals of all looks hold together with 95 % whatever the dependence between them (Bonferroni's
// inequality), and so does their intersection. That wastes a little: seeds that are shared between looks make
// errors rarer still.
#pragma once

#include <vector>

#include "lab/reproduce/student.hpp"

namespace gradstab::lab {

/// The numbers of seeds at which is looked, each about half as many again: 3, 5, 8, 12, 18, ... up to `most`,
/// the last. `first` is at least 2; of a smaller `most` there is one look.
std::vector<int> looks_up_to(int first, int most);

/// The chance to err at each look; adds up to kErrorRate.
std::vector<double> error_rates(const std::vector<int>& looks);

/// The interval of the mean of `values`, seed by seed, of which NaN are left out: the intersection of those
/// of all looks for which there are seeds. The last alone where they have nothing in common, which is one of
/// the errors that the rate allows.
Interval interval_over_looks(const std::vector<double>& values, const std::vector<int>& looks);

}  // namespace gradstab::lab
