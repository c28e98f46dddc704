// One field of what a transform of one method remembers.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/transform.hpp"

namespace gradstab::testing {

/// The field of that name, one number per unit; throws where there is none, or more than one method.
inline std::vector<double> state_field(const GradientTransform& transform, std::string_view name) {
  const std::vector<MethodState> state = transform.state();
  if (state.size() != 1) throw std::logic_error("state_field is for transforms of one method");
  for (const StateField& field : state.front().fields) {
    if (field.name == name) return field.values;
  }
  throw std::logic_error("no field '" + std::string(name) + "'");
}

}  // namespace gradstab::testing
