// The transforms that every check of this folder is made on. Backends are taken from gradstab::backends().
#pragma once

#include <functional>
#include <span>
#include <string>

#include "gradstab/transforms.hpp"

namespace gradstab::testing {

struct TransformRow {
  std::string name;
  std::function<GradientTransform()> make;
  bool element_wise = false;
};

/// Every method of the library is in it, one that has no row of its name with its defaults.
std::span<const TransformRow> transforms();

/// The groups that rows of the table use; the parameters of the checks are named "t0" to "t9".
Units some_groups();

}  // namespace gradstab::testing
