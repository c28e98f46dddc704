// The transforms that every check of this folder is made on. Backends are taken from gradstab::backends().
#pragma once

#include <span>

#include "gradstab/transforms.hpp"

namespace gradstab::testing {

struct TransformRow {
  const char* name;
  GradientTransform (*make)();
  bool element_wise = false;
};

/// A new transform is one more row.
std::span<const TransformRow> transforms();

/// The groups that rows of the table use; the parameters of the checks are named "t0" to "t9".
Units some_groups();

}  // namespace gradstab::testing
