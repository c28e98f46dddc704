// The kernels for the least that Highway has vectors for: SSSE3 on x86 (flags in src/CMakeLists.txt), NEON on
// 64-bit ARM.
#define GRADSTAB_KERNELS_NAME kBaselineKernels
#include "backends/cpu/kernels-inl.hpp"
