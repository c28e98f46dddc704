// `if (status)` reads as "if there is an error" to some and as "if all is well" to others.
#include "gradstab/gradstab.hpp"

int main() {
  const gradstab::Status status = gradstab::StabilizerOptions{}.validate();
#ifdef GRADSTAB_MUST_NOT_COMPILE
  if (status) return 1;
#else
  if (!status.ok()) return 1;
#endif
}
