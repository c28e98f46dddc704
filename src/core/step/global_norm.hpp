// Norm over several segments as one vector, from the norms of each.
#pragma once

#include <cstddef>
#include <span>

#include "core/base/root_of_squares.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// Global norm after the factors decided so far, over whatever has a gradient.
inline double global_norm(std::span<const TensorReport> reports) noexcept {
  return root_of_squares(reports.size(),
                         [&](std::size_t i) { return reports[i].present ? reports[i].norm() : 0.0; });
}

}  // namespace gradstab
