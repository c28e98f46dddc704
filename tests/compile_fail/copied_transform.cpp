// A transform owns its state; a copy would silently fork it.
#include <utility>

#include "gradstab/gradstab.hpp"

int main() {
  gradstab::GradientTransform original = gradstab::stabilize();
#ifdef GRADSTAB_MUST_NOT_COMPILE
  gradstab::GradientTransform other = original;
#else
  gradstab::GradientTransform other = std::move(original);
#endif
  return other.parameters().size() == 0 ? 0 : 1;
}
