// Which build of the kernels this processor can run; cmake/instruction_sets.cmake makes the builds.
#pragma once

namespace gradstab::lab {

/// Whether there is a build with AVX2 and FMA, and this processor has both.
inline bool use_avx2() noexcept {
#ifdef GRADSTAB_LAB_AVX2
  static const bool supported = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return supported;
#else
  return false;
#endif
}

/// Whether there is a build with AVX-512, and this processor has the parts of it that the build uses.
inline bool use_avx512() noexcept {
#ifdef GRADSTAB_LAB_AVX512
  static const bool supported = use_avx2() && __builtin_cpu_supports("avx512f") &&
                                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                                __builtin_cpu_supports("avx512vl");
  return supported;
#else
  return false;
#endif
}

}  // namespace gradstab::lab
