// The norm moments inside a transform, by the names under which it saves them.
#pragma once

#include <vector>

#include "gradstab/decide.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::testing {

/// Moments of every unit, in the transform's order: of tensors, of their rows, of the groups and then of the
/// tensors in none, or of the whole model. For a transform of one method, `stabilize` or
/// `record_norms`; throws on anything else.
std::vector<NormMoments> saved_moments(const GradientTransform& transform);

}  // namespace gradstab::testing
