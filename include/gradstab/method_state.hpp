// MethodState: what a method remembers, as numbers with names.
#pragma once

#include <string_view>
#include <vector>

namespace gradstab {

/// One number per unit of the method (tensor, row, group), in their order; a single one where the method
/// keeps one for all. Empty while there is none, such as the statistics of a warm-up.
struct StateField {
  std::string_view name;
  std::vector<double> values;
};

/// For looking at and for comparing with other implementations; `GradientTransform::save` is for restoring.
/// Names are the letters of docs/methods.md: of `stabilize` "m" and "v", the moments without bias correction,
/// "k", the norms that entered them, and "skipped".
struct MethodState {
  std::string_view method;  ///< "stabilize"
  std::vector<StateField> fields;
};

}  // namespace gradstab
