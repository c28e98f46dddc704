// The pieces of a LLaMA block as differentiable functions of tensors.
//
// For float and double tensors on the CPU each is one autograd node over cpu_kernels.hpp; for any other dtype
// there it is the composition of PyTorch operations in the namespace `composed`, which is also what the tests
// compare the nodes with; on any other device it is that in the namespace `on_device`. The nodes give first
// derivatives only: a backward pass that records its own graph throws c10::Error.
//
// With a 16-bit precision tensors on the CPU stay f32 but hold values of that format wherever torch's
// autocast would hold 16-bit tensors (low_precision.hpp); gate_up and qkv are expected to, as they come from
// stacked_linear. On another device they are 16-bit tensors.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/nn/precision.hpp"

namespace gradstab::lab {

/// The angles of the rotary embedding, cos and sin of t * base^(-2j/head_dim) for t < length, j < head_dim/2
/// (Su et al. 2021, arXiv:2104.09864): two tensors [length, head_dim/2], computed in double.
struct RotaryTable {
  torch::Tensor cosine, sine;
};
RotaryTable rotary_table(std::int64_t length, std::int64_t head_dim, double base,
                         const torch::TensorOptions& options);

/// x * gain / sqrt(mean(x^2) + epsilon) over the last dimension (Zhang & Sennrich 2019, arXiv:1910.07467).
/// x [rows, width], gain [width]; the result has x's dtype, the mean is taken in float at least.
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& gain, double epsilon);

/// silu(gate) * up (Shazeer 2020, arXiv:2002.05202), gate_up [rows, 2*width] holding gate and then up: [rows,
/// width].
torch::Tensor swiglu(const torch::Tensor& gate_up, Precision precision = Precision::fp32);

/// Causal multi-head attention with rotary embedding in the half-split form: feature j of a head turns
/// together with feature j + head_dim/2. qkv [batch*length, 3*heads*head_dim] holds queries, keys and values;
/// the table has `length` rows; the result is [batch*length, heads*head_dim].
torch::Tensor causal_attention(const torch::Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                               Precision precision = Precision::fp32);

/// x times each of the weights, transposed, side by side: [rows, sum of out]. x [rows, in], each weight [out,
/// in]. One product with stacked weights is faster than several narrow ones, and backward needs no sum of
/// several input gradients.
torch::Tensor stacked_linear(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                             Precision precision = Precision::fp32);

/// Mean over the targets >= 0 of -log softmax(x weight^T)[target]: a scalar, NaN without such a target (as
/// PyTorch's). x [rows, width], weight [classes, width], targets int64 [rows] below `classes`. The node never
/// holds all the logits: it goes through the rows in slices and, unless it rounds, computes the gradients in
/// the forward pass.
torch::Tensor linear_cross_entropy(const torch::Tensor& x, const torch::Tensor& weight,
                                   const torch::Tensor& targets, Precision precision = Precision::fp32);

/// The same functions composed of PyTorch operations.
namespace composed {
torch::Tensor stacked_linear(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                             Precision precision = Precision::fp32);
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& gain, double epsilon);
torch::Tensor swiglu(const torch::Tensor& gate_up, Precision precision = Precision::fp32);
torch::Tensor causal_attention(const torch::Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                               Precision precision = Precision::fp32);
torch::Tensor linear_cross_entropy(const torch::Tensor& x, const torch::Tensor& weight,
                                   const torch::Tensor& targets, Precision precision = Precision::fp32);
}  // namespace composed

/// The same functions for devices that multiply matrices of 16 bits. With a 16-bit precision operands are
/// cast on the fly: products, attention and the MLP's activation are computed in that type, and their results
/// are of it; softmax and loss are f32; so are gradients of f32 inputs. Otherwise everything is in the type
/// of the inputs. They work on CPU tensors too, as far as LibTorch has products of the type there.
namespace on_device {
torch::Tensor stacked_linear(const torch::Tensor& x, const std::vector<torch::Tensor>& weights,
                             Precision precision);
torch::Tensor swiglu(const torch::Tensor& gate_up, Precision precision);
torch::Tensor causal_attention(const torch::Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                               Precision precision);

/// Logits that are computed together: 256 MB in f32, and few enough launches.
inline constexpr std::int64_t kSliceElements = 1 << 26;
torch::Tensor linear_cross_entropy(const torch::Tensor& x, const torch::Tensor& weight,
                                   const torch::Tensor& targets, Precision precision,
                                   std::int64_t slice_elements = kSliceElements);
}  // namespace on_device

}  // namespace gradstab::lab
