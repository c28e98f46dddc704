// The backends of this build, one object each.
#pragma once

#include "gradstab/backend.hpp"

namespace gradstab {

/// Plain loops in double over one element at a time: the oracle for every other backend.
const Backend& reference_backend() noexcept;

#if defined(GRADSTAB_SIMD)
/// SIMD kernels for the oldest processors worth vectors.
const Backend& cpu_baseline_backend() noexcept;
#endif

#if defined(GRADSTAB_SIMD_X86)
/// The same kernels compiled for newer x86 processors.
const Backend& cpu_avx2_backend() noexcept;
const Backend& cpu_avx512_backend() noexcept;
#endif

}  // namespace gradstab
