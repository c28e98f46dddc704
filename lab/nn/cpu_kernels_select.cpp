// Which build of cpu_kernels.cpp this processor gets.
#include "lab/nn/cpu_kernels.hpp"
#include "lab/nn/instruction_set.hpp"

namespace gradstab::lab {

#ifdef GRADSTAB_LAB_AVX2
namespace avx2 {
extern const CpuKernels<float> kFloatKernels;
extern const CpuKernels<float> kBFloat16Kernels;
extern const CpuKernels<float> kHalfKernels;
extern const CpuKernels<double> kDoubleKernels;
}  // namespace avx2
#endif

#ifndef GRADSTAB_LAB_AVX2
namespace avx2 = baseline;
#endif

template <>
const CpuKernels<float>& cpu_kernels<float>() noexcept {
  return use_avx2() ? avx2::kFloatKernels : baseline::kFloatKernels;
}
template <>
const CpuKernels<double>& cpu_kernels<double>() noexcept {
  return use_avx2() ? avx2::kDoubleKernels : baseline::kDoubleKernels;
}

const CpuKernels<float>& cpu_kernels(Precision precision) noexcept {
  switch (precision) {
    case Precision::fp32:
    case Precision::fp4:
    case Precision::int4:
      break;
    case Precision::bf16:
      return use_avx2() ? avx2::kBFloat16Kernels : baseline::kBFloat16Kernels;
    case Precision::fp16:
      return use_avx2() ? avx2::kHalfKernels : baseline::kHalfKernels;
  }
  return cpu_kernels<float>();
}

}  // namespace gradstab::lab
