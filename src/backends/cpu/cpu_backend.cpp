// The SIMD backends: which kernels, and whether this processor can run them.
#include <cstddef>

#include "backends/backend_list.hpp"
#include "backends/cpu/kernels.hpp"
#include "backends/reference/reference_update.hpp"
#include "core/optimizer/scalar_arithmetic.hpp"

namespace gradstab {
namespace {

static_assert(static_cast<int>(DType::float32) == 0 && static_cast<int>(DType::float64) == 1 &&
                  static_cast<int>(DType::float16) == 2 && static_cast<int>(DType::bfloat16) == 3,
              "CpuKernels is indexed in this order");

class CpuBackend final : public Backend {
 public:
  CpuBackend(std::string_view name, const CpuKernels& kernels, bool supported)
      : name_(name), kernels_(kernels), supported_(supported) {}

  std::string_view name() const noexcept override { return name_; }
  bool supported() const noexcept override { return supported_; }

  double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept override {
    return kernels_.squared_norm[static_cast<std::size_t>(dtype)](data, count);
  }
  double max_abs(const void* data, DType dtype, std::size_t count) const noexcept override {
    return kernels_.max_abs[static_cast<std::size_t>(dtype)](data, count);
  }
  void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept override {
    kernels_.scale[static_cast<std::size_t>(dtype)](data, count, factor);
  }
  void clamp(void* data, DType dtype, std::size_t count, double factor,
             double limit) const noexcept override {
    kernels_.clamp[static_cast<std::size_t>(dtype)](data, count, factor, limit);
  }
  void update(const UpdateBlock& block, const UpdateScalars& scalars) const noexcept override {
    if (!fits_float32(scalars)) return reference_update(block, scalars);
    kernels_.update[static_cast<std::size_t>(block.rule)][static_cast<std::size_t>(block.storage)]
                   [static_cast<std::size_t>(block.gradient_dtype)](block, scalars);
  }

 private:
  std::string_view name_;
  const CpuKernels& kernels_;
  bool supported_;
};

}  // namespace

namespace {

// The answers are for the operating system too: registers that it does not save do not count as supported.

bool has_baseline() noexcept {
#if defined(GRADSTAB_SIMD_X86)
  return __builtin_cpu_supports("ssse3") != 0;
#else
  return true;
#endif
}

#if defined(GRADSTAB_SIMD_X86)
// F16C, for which not every compiler has a name here, is older than AVX2 on every processor.
bool has_avx2() noexcept {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

bool has_avx512() noexcept {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

}  // namespace

const Backend& cpu_baseline_backend() noexcept {
  static const CpuBackend backend("cpu-baseline", kBaselineKernels, has_baseline());
  return backend;
}

#if defined(GRADSTAB_SIMD_X86)
const Backend& cpu_avx2_backend() noexcept {
  static const CpuBackend backend("cpu-avx2", kAvx2Kernels, has_avx2());
  return backend;
}

const Backend& cpu_avx512_backend() noexcept {
  static const CpuBackend backend("cpu-avx512", kAvx512Kernels, has_avx512());
  return backend;
}
#endif

}  // namespace gradstab
