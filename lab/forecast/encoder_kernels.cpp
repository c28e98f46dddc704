// Compiled once per instruction set, all of it in the namespace of that set.
#include "lab/forecast/encoder_kernels.hpp"

#include "lab/forecast/feed_forward.hpp"
#include "lab/forecast/narrow_linear.hpp"
#include "lab/forecast/residual_attention.hpp"

namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET {
namespace {
template <class Scalar>
constexpr EncoderKernels<Scalar> kKernels = {attention<Scalar>,    attention_backward<Scalar>,
                                             feed_forward<Scalar>, feed_forward_backward<Scalar>,
                                             linear<Scalar>,       linear_backward<Scalar>};
}  // namespace

extern const EncoderKernels<float> kFloatEncoder;
extern const EncoderKernels<double> kDoubleEncoder;
const EncoderKernels<float> kFloatEncoder = kKernels<float>;
const EncoderKernels<double> kDoubleEncoder = kKernels<double>;

}  // namespace gradstab::lab::forecast::GRADSTAB_KERNEL_SET
