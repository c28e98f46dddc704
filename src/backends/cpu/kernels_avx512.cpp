// The kernels for AVX-512 (F, BW, CD, DQ, VL: Skylake server and later); flags in src/CMakeLists.txt.
#define GRADSTAB_KERNELS_NAME kAvx512Kernels
#include "backends/cpu/kernels-inl.hpp"
