// Which build of dropout_kernels.cpp this processor gets.
#include "lab/nn/dropout_kernels.hpp"
#include "lab/nn/instruction_set.hpp"

namespace gradstab::lab::nn {

namespace baseline {
extern const DropoutKernels<float> kFloatDropout;
extern const DropoutKernels<double> kDoubleDropout;
}  // namespace baseline
#ifdef GRADSTAB_LAB_AVX2
namespace avx2 {
extern const DropoutKernels<float> kFloatDropout;
extern const DropoutKernels<double> kDoubleDropout;
}  // namespace avx2
#endif
#ifdef GRADSTAB_LAB_AVX512
namespace avx512 {
extern const DropoutKernels<float> kFloatDropout;
extern const DropoutKernels<double> kDoubleDropout;
}  // namespace avx512
#endif

template <>
std::vector<const DropoutKernels<float>*> all_dropout_kernels<float>() {
  std::vector<const DropoutKernels<float>*> all = {&baseline::kFloatDropout};
#ifdef GRADSTAB_LAB_AVX2
  if (use_avx2()) all.push_back(&avx2::kFloatDropout);
#endif
#ifdef GRADSTAB_LAB_AVX512
  if (use_avx512()) all.push_back(&avx512::kFloatDropout);
#endif
  return all;
}
template <>
std::vector<const DropoutKernels<double>*> all_dropout_kernels<double>() {
  std::vector<const DropoutKernels<double>*> all = {&baseline::kDoubleDropout};
#ifdef GRADSTAB_LAB_AVX2
  if (use_avx2()) all.push_back(&avx2::kDoubleDropout);
#endif
#ifdef GRADSTAB_LAB_AVX512
  if (use_avx512()) all.push_back(&avx512::kDoubleDropout);
#endif
  return all;
}

template <>
const DropoutKernels<float>& dropout_kernels<float>() noexcept {
  static const DropoutKernels<float>& best = *all_dropout_kernels<float>().back();
  return best;
}
template <>
const DropoutKernels<double>& dropout_kernels<double>() noexcept {
  static const DropoutKernels<double>& best = *all_dropout_kernels<double>().back();
  return best;
}

}  // namespace gradstab::lab::nn
