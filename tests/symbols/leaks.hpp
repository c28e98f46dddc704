// A public header as it should not be; see leaks.cpp.
#pragma once

#include "gradstab/export.hpp"

namespace gradstab {

int forgotten_mark(int value);
GRADSTAB_API int lost_mark(int value);

class Unmarked {
 public:
  int member() const;
};

}  // namespace gradstab
