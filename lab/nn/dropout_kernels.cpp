// Compiled once per instruction set, into the namespace of that set.
#include "lab/nn/dropout_kernels.hpp"

namespace gradstab::lab::nn::GRADSTAB_KERNEL_SET {
namespace {

/// Below this many elements starting the threads costs more than it saves.
constexpr std::int64_t kParallelElements = 1 << 14;

template <class Scalar>
void dropout(const Scalar* x, std::int64_t count, DropRule rule, Scalar* y) {
  const auto scale = static_cast<Scalar>(rule.scale);
#pragma omp parallel for simd schedule(static) if (parallel : count > kParallelElements)
  for (std::int64_t i = 0; i < count; ++i) {
    // A product with zero would turn Inf into NaN in an element that is dropped.
    y[i] = rule.keeps(static_cast<std::uint32_t>(i)) ? x[i] * scale : Scalar{0};
  }
}

}  // namespace

extern const DropoutKernels<float> kFloatDropout;
extern const DropoutKernels<double> kDoubleDropout;
const DropoutKernels<float> kFloatDropout = {dropout<float>};
const DropoutKernels<double> kDoubleDropout = {dropout<double>};

}  // namespace gradstab::lab::nn::GRADSTAB_KERNEL_SET
