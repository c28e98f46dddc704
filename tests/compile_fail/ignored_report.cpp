// update may refuse the gradients; ignoring its result would train on raw ones.
#include "gradstab/gradstab.hpp"

int main() {
  gradstab::GradientTransform transform = gradstab::stabilize();
  transform.init({}).check();
#ifdef GRADSTAB_MUST_NOT_COMPILE
  transform.update({});
#else
  return transform.update({}).ok() ? 0 : 1;
#endif
}
