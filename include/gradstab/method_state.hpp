// MethodState: what a method remembers, as numbers with names.
#pragma once

#include <string>
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

/// One of the numbers that restore what methods remember of a parameter; several where a method works per row
/// or per element.
struct ParameterStatistic {
  std::string name;  ///< "0.stabilize.m": of the first method of a chain
  std::vector<double> values;

  bool operator==(const ParameterStatistic&) const = default;
};

}  // namespace gradstab
