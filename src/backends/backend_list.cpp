#include "backends/backend_list.hpp"

#include <array>

namespace gradstab {

std::span<const Backend* const> backends() noexcept {
  static const std::array list = {
    &reference_backend(),
#if defined(GRADSTAB_SIMD)
    &cpu_baseline_backend(),
#endif
#if defined(GRADSTAB_SIMD_X86)
    &cpu_avx2_backend(),
    &cpu_avx512_backend(),
#endif
  };
  return list;
}

}  // namespace gradstab
