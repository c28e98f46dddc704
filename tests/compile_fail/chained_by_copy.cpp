// A chain takes its links; one that lives on beside the chain would share or fork state.
#include <utility>

#include "gradstab/gradstab.hpp"

int main() {
  gradstab::GradientTransform link = gradstab::stabilize();
#ifdef GRADSTAB_MUST_NOT_COMPILE
  const auto transform = gradstab::chain(gradstab::clip_by_global_norm(1.0), link);
#else
  const auto transform = gradstab::chain(gradstab::clip_by_global_norm(1.0), std::move(link));
#endif
  return transform.parameters().size() == 0 ? 0 : 1;
}
