// The functions of llama_functions.hpp composed of PyTorch operations.
#include <cmath>
#include <limits>

#include "lab/llm/llama_functions.hpp"
#include "lab/nn/low_precision.hpp"

namespace gradstab::lab::composed {

using torch::Tensor;

Tensor stacked_linear(const Tensor& x, const std::vector<Tensor>& weights, Precision precision) {
  return cast(torch::mm(cast(x, precision), cast(torch::cat(weights), precision).t()), precision);
}

Tensor rms_norm(const Tensor& x, const Tensor& gain, double epsilon) {
  const Tensor wide = x.scalar_type() == torch::kDouble ? x : x.to(torch::kFloat);
  const Tensor normalized = wide * torch::rsqrt(wide.square().mean(-1, true) + epsilon);
  return normalized.to(x.scalar_type()) * gain.to(x.scalar_type());
}

Tensor swiglu(const Tensor& gate_up, Precision precision) {
  const auto parts = cast(gate_up, precision).chunk(2, -1);
  return cast(cast(torch::silu(parts[0]), precision) * parts[1], precision);
}

Tensor causal_attention(const Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                        Precision precision) {
  const std::int64_t length = table.cosine.size(0);
  const std::int64_t hidden = qkv.size(1) / 3;
  // [3, batch, heads, length, head_dim]
  const Tensor parts =
      cast(qkv, precision).view({-1, length, 3, heads, hidden / heads}).permute({2, 0, 3, 1, 4});
  const Tensor cosine = torch::cat({table.cosine, table.cosine}, -1).to(qkv.scalar_type());
  const Tensor sine = torch::cat({table.sine, table.sine}, -1).to(qkv.scalar_type());
  const auto turn = [&](const Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return cast(x * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine, precision);
  };
  // The scores stay wide; only their gradient is an operand of a product.
  const Tensor scores = round_gradient(torch::matmul(turn(parts[0]), turn(parts[1]).transpose(-1, -2)) /
                                           std::sqrt(static_cast<double>(hidden / heads)),
                                       precision);
  const Tensor future = torch::ones({length, length}, qkv.options().dtype(torch::kBool)).triu(1);
  const Tensor weights =
      torch::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1);
  return cast(torch::matmul(round_values(weights, precision), parts[2]), precision)
      .transpose(1, 2)
      .reshape({-1, hidden});
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets,
                            Precision precision) {
  const Tensor logits = cast(torch::mm(cast(x, precision), cast(weight, precision).t()), precision);
  const Tensor log_probabilities =
      torch::log_softmax(logits, -1, logits.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat);
  const Tensor counted = targets.ge(0);
  const Tensor picked = log_probabilities.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  return -picked.masked_fill(counted.logical_not(), 0).sum() / counted.sum();
}

}  // namespace gradstab::lab::composed
