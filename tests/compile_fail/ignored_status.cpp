// An error that nobody looks at is a bug.
#include "gradstab/gradstab.hpp"

int main() {
  gradstab::GradientTransform transform = gradstab::stabilize();
#ifdef GRADSTAB_MUST_NOT_COMPILE
  transform.init({});
#else
  transform.init({}).check();
#endif
}
