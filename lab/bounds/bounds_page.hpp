// A BoundsSummary in, one HTML page out.
#pragma once

#include <string>

#include "lab/bounds/bounds_summary.hpp"

namespace gradstab::lab {

/// One self-contained page: heat maps of the uniform bound and its two factors over the gammas (the paper's
/// Figure 2) with the request's point marked, recovery curves of single spikes, and the summary's tables. It
/// loads nothing. A function of the summary alone.
std::string render_bounds_page(const BoundsSummary& summary);

}  // namespace gradstab::lab
