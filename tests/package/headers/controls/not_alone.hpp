// Needs <string> and does not say so.
#pragma once

#include <gradstab/export.hpp>

inline std::string control_not_alone() {
  return GRADSTAB_VERSION;
}
