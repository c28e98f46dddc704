// Which build of encoder_kernels.cpp this processor gets.
#include "lab/forecast/encoder_kernels.hpp"
#include "lab/nn/instruction_set.hpp"

namespace gradstab::lab::forecast {

namespace baseline {
extern const EncoderKernels<float> kFloatEncoder;
extern const EncoderKernels<double> kDoubleEncoder;
}  // namespace baseline
#ifdef GRADSTAB_LAB_AVX2
namespace avx2 {
extern const EncoderKernels<float> kFloatEncoder;
extern const EncoderKernels<double> kDoubleEncoder;
}  // namespace avx2
#endif
#ifdef GRADSTAB_LAB_AVX512
namespace avx512 {
extern const EncoderKernels<float> kFloatEncoder;
extern const EncoderKernels<double> kDoubleEncoder;
}  // namespace avx512
#endif

template <>
std::vector<const EncoderKernels<float>*> all_encoder_kernels<float>() {
  std::vector<const EncoderKernels<float>*> all = {&baseline::kFloatEncoder};
#ifdef GRADSTAB_LAB_AVX2
  if (use_avx2()) all.push_back(&avx2::kFloatEncoder);
#endif
#ifdef GRADSTAB_LAB_AVX512
  if (use_avx512()) all.push_back(&avx512::kFloatEncoder);
#endif
  return all;
}
template <>
std::vector<const EncoderKernels<double>*> all_encoder_kernels<double>() {
  std::vector<const EncoderKernels<double>*> all = {&baseline::kDoubleEncoder};
#ifdef GRADSTAB_LAB_AVX2
  if (use_avx2()) all.push_back(&avx2::kDoubleEncoder);
#endif
#ifdef GRADSTAB_LAB_AVX512
  if (use_avx512()) all.push_back(&avx512::kDoubleEncoder);
#endif
  return all;
}

template <>
const EncoderKernels<float>& encoder_kernels<float>() noexcept {
  static const EncoderKernels<float>& best = *all_encoder_kernels<float>().back();
  return best;
}
template <>
const EncoderKernels<double>& encoder_kernels<double>() noexcept {
  static const EncoderKernels<double>& best = *all_encoder_kernels<double>().back();
  return best;
}

}  // namespace gradstab::lab::forecast
