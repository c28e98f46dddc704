// A Result must be opened before its value is used.
#include "gradstab/gradstab.hpp"

int main() {
#ifdef GRADSTAB_MUST_NOT_COMPILE
  const gradstab::Backend* backend = gradstab::find_backend();
#else
  const gradstab::Backend* backend = gradstab::find_backend().value();
#endif
  return backend->supported() ? 0 : 1;
}
