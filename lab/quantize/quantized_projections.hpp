// Quantization-aware training: the projections multiply with weights and inputs rounded to four bits, and
// their gradients pass straight through.
#pragma once

#include <cstdint>
#include <memory>

#include "lab/quantize/projection_hooks.hpp"
#include "lab/quantize/projection_quantizers.hpp"

namespace gradstab::lab {

/// Which random numbers stochastic rounding takes: those of a forward pass's index, from its first operand
/// on, whatever was computed before it and on however many threads.
class QuantizationDraws {
 public:
  void begin(std::uint64_t forward_index) noexcept {
    forward_ = forward_index;
    operand_ = 0;
  }
  /// The first of the draws of the next operand, one for every chunk of it.
  std::uint64_t next() noexcept { return (forward_ << 32) + (operand_++ << 20); }

 private:
  std::uint64_t forward_ = 0;
  std::uint64_t operand_ = 0;
};

/// x, float and of any shape, in groups in the order of its elements; the gradient is passed straight through
/// (arXiv 1308.3432). Throws gradstab::Error where fake_quantize refuses.
torch::Tensor fake_quantized(const torch::Tensor& x, const QuantizerOptions& options,
                             std::uint64_t first_draw);

/// The same with groups that begin anew in every row, which is the last dimension of x.
torch::Tensor fake_quantized_rows(const torch::Tensor& x, const QuantizerOptions& options,
                                  std::uint64_t first_draw);

/// For LlamaImpl::set_projection_hooks. The groups of an input lie within a token: in one that reached into
/// the next token, the scale would tell the model about it. `Compat::released` has such groups, as the
/// authors' code, where the width is no multiple of the group size. `draws` is shared with whoever begins the
/// forward passes.
ProjectionHooks quantizing_hooks(const ProjectionQuantizers& quantizers,
                                 std::shared_ptr<QuantizationDraws> draws);

}  // namespace gradstab::lab
