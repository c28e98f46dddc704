// CpuKernels: what one instruction set offers, as plain function pointers.
//
// Included by the units that are compiled for newer processors, so nothing here may be an inline function or
// a template of the library or the standard: the linker keeps one copy of such a function, and it could be
// the one an older processor cannot run.
#pragma once

#include <cstddef>

#include "gradstab/backend.hpp"

namespace gradstab {

/// The kernels of Backend for one instruction set. Arrays are indexed by DType.
struct CpuKernels {
  double (*squared_norm[4])(const void* data, std::size_t count) noexcept;
  double (*max_abs[4])(const void* data, std::size_t count) noexcept;
  void (*scale[4])(void* data, std::size_t count, double factor) noexcept;
  void (*clamp[4])(void* data, std::size_t count, double factor, double limit) noexcept;

  /// By rule, storage of the parameter and dtype of the gradient; null for float64, which has no vectors
  /// here.
  void (*update[kUpdateRuleCount][kParameterStorageCount][4])(const UpdateBlock& block,
                                                              const UpdateScalars& scalars) noexcept;
};

#if defined(GRADSTAB_SIMD)
extern const CpuKernels kBaselineKernels;
#endif
#if defined(GRADSTAB_SIMD_X86)
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

}  // namespace gradstab
