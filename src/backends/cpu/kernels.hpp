// CpuKernels: what one instruction set offers, as plain function pointers.
//
// Included by the units that are compiled for newer processors, so nothing here may be an inline function or
// a template of the library or the standard: the linker keeps one copy of such a function, and it could be
// the one an older processor cannot run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gradstab/backend.hpp"

namespace gradstab {

/// What an update is computed by on the SIMD backends.
enum class UpdateBy : std::uint8_t {
  unstated,
  vectors,    ///< a kernel of the instruction set, in float32
  reference,  ///< the reference backend, in double
};

/// By storage of the parameter and dtype of the gradient. In float64, to which a processor's vectors would
/// add little that memory does not bound, and for what no optimizer asks (float64 on one side alone), the
/// reference is all there is. It also takes any block whose numbers float32 has not
/// (core/optimizer/scalar_arithmetic.hpp).
inline constexpr UpdateBy kUpdatedBy[][kDTypeCount] = {
    // Gradients: float32, float64, float16, bfloat16.
    {UpdateBy::vectors, UpdateBy::reference, UpdateBy::vectors, UpdateBy::vectors},        // float32
    {UpdateBy::reference, UpdateBy::reference, UpdateBy::reference, UpdateBy::reference},  // float64
    {UpdateBy::vectors, UpdateBy::reference, UpdateBy::vectors, UpdateBy::vectors},        // bfloat16_master
    {UpdateBy::vectors, UpdateBy::reference, UpdateBy::vectors, UpdateBy::vectors},  // bfloat16_stochastic
};
static_assert(sizeof kUpdatedBy / sizeof kUpdatedBy[0] == kParameterStorageCount, "one row per storage");

using UpdateKernel = void (*)(const UpdateBlock& block, const UpdateScalars& scalars) noexcept;

/// The kernels of Backend for one instruction set. Arrays are indexed by DType.
struct CpuKernels {
  double (*squared_norm[kDTypeCount])(const void* data, std::size_t count) noexcept;
  double (*max_abs[kDTypeCount])(const void* data, std::size_t count) noexcept;
  void (*scale[kDTypeCount])(void* data, std::size_t count, double factor) noexcept;
  void (*clamp[kDTypeCount])(void* data, std::size_t count, double factor, double limit) noexcept;

  /// By rule, storage of the parameter and dtype of the gradient, as kUpdatedBy says.
  UpdateKernel update[kUpdateRuleCount][kParameterStorageCount][kDTypeCount];
};

#if defined(GRADSTAB_SIMD)
extern const CpuKernels kBaselineKernels;
#endif
#if defined(GRADSTAB_SIMD_X86)
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

}  // namespace gradstab
