// The kernels for AVX2 with FMA and F16C; flags in src/CMakeLists.txt.
#define GRADSTAB_KERNELS_NAME kAvx2Kernels
#include "backends/cpu/kernels-inl.hpp"
