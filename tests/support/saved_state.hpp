// What the only method of a transform remembers, by the names under which it saves it.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "gradstab/transform.hpp"

namespace gradstab::testing {

/// The numbers of that name, in the order in which they are saved: of one unit after another. Throws where
/// there are none, or several methods.
std::vector<double> saved_numbers(const GradientTransform& transform, std::string_view name);

/// How many bytes at the end of a saved state are the method's own.
std::size_t saved_bytes(const GradientTransform& transform);

}  // namespace gradstab::testing
