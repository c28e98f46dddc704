// The functions of llama_functions.hpp as a device computes them: matrix products in the real 16-bit type.
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/llm/llama_functions.hpp"
#include "lab/nn/kernel_node.hpp"

namespace gradstab::lab::on_device {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// In which products are computed.
torch::ScalarType type_of_products(const Tensor& x, Precision precision) {
  if (precision == Precision::bf16) return torch::kBFloat16;
  if (precision == Precision::fp16) return torch::kHalf;
  return x.scalar_type();
}

/// In which everything else is.
torch::ScalarType wide_type(const Tensor& x) {
  return x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
}

/// softmax(q k^T / sqrt(width)) v of [batch, heads, length, width] tensors, no query seeing later keys.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v) {
#if TORCH_VERSION_MAJOR >= 2
  // Fused where the device has a kernel for it: no matrix of scores is ever stored.
  return at::scaled_dot_product_attention(q, k, v, /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true);
#else
  const std::int64_t length = q.size(2);
  const Tensor scores =
      torch::matmul(q, k.transpose(-1, -2)).to(wide_type(q)) / std::sqrt(static_cast<double>(q.size(3)));
  const Tensor future = torch::ones({length, length}, q.options().dtype(torch::kBool)).triu(1);
  const Tensor weights =
      torch::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1);
  return torch::matmul(weights.to(q.scalar_type()), v);
#endif
}

/// Computes the logits of a slice of rows, forward and once more backward, and keeps none of them: all of
/// them in f32 would be the largest tensors of the model by far. As the gradients of the logits are rounded
/// at the scale of the loss, they can only be computed when that has arrived.
struct SlicedCrossEntropy : torch::autograd::Function<SlicedCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& weight_any,
                        const Tensor& targets, Precision precision, std::int64_t slice_elements) {
    TORCH_CHECK(targets.numel() == x_any.size(0) && targets.numel() > 0, "one target per row is needed");
    const auto type = type_of_products(x_any, precision);
    const Tensor x = x_any.to(type);
    const Tensor weight = weight_any.to(type);
    const Tensor counted = targets.ge(0);
    const Tensor count = counted.sum().to(wide_type(x_any));
    const Tensor sum = torch::zeros_like(count);
    in_slices(x, weight, slice_elements, [&](std::int64_t begin, std::int64_t rows, const Tensor& logits) {
      const Tensor picked = torch::log_softmax(logits, 1, count.scalar_type())
                                .gather(1, targets.narrow(0, begin, rows).clamp_min(0).unsqueeze(1))
                                .squeeze(1);
      sum.sub_(picked.masked_fill(counted.narrow(0, begin, rows).logical_not(), 0).sum());
    });
    context->saved_data["slice_elements"] = slice_elements;
    context->saved_data["x_type"] = static_cast<std::int64_t>(x_any.scalar_type());
    context->saved_data["weight_type"] = static_cast<std::int64_t>(weight_any.scalar_type());
    context->save_for_backward({x, weight, targets, count});
    return sum / count;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the sliced cross-entropy");
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor& weight = saved[1];
    const Tensor& targets = saved[2];
    const Tensor& count = saved[3];
    const Tensor scale = torch::where(count.gt(0), gradients[0] / count, torch::zeros_like(count));
    const Tensor dx = torch::empty_like(x);
    const Tensor dweight = torch::zeros(weight.sizes(), weight.options().dtype(count.scalar_type()));
    in_slices(x, weight, context->saved_data["slice_elements"].toInt(),
              [&](std::int64_t begin, std::int64_t rows, const Tensor& logits) {
                const Tensor slice_targets = targets.narrow(0, begin, rows).unsqueeze(1);
                const Tensor dlogits = torch::softmax(logits, 1, count.scalar_type());
                dlogits.scatter_add_(1, slice_targets.clamp_min(0),
                                     torch::full_like(slice_targets, -1, count.options()));
                dlogits.mul_(slice_targets.ge(0) * scale);
                const Tensor rounded = dlogits.to(x.scalar_type());
                Tensor dx_slice = dx.narrow(0, begin, rows);
                torch::mm_out(dx_slice, rounded, weight);
                dweight.add_(torch::mm(rounded.t(), x.narrow(0, begin, rows)));
              });
    const auto type = [&](const char* key) {
      return static_cast<torch::ScalarType>(context->saved_data[key].toInt());
    };
    return {dx.to(type("x_type")), dweight.to(type("weight_type")), Tensor(), Tensor(), Tensor()};
  }

 private:
  /// Calls visit(first row, rows, their logits).
  template <class Visit>
  static void in_slices(const Tensor& x, const Tensor& weight, std::int64_t slice_elements,
                        const Visit& visit) {
    const std::int64_t rows = x.size(0);
    const std::int64_t slice_rows = std::clamp<std::int64_t>(slice_elements / weight.size(0), 1, rows);
    for (std::int64_t begin = 0; begin < rows; begin += slice_rows) {
      const std::int64_t count = std::min(slice_rows, rows - begin);
      visit(begin, count, torch::mm(x.narrow(0, begin, count), weight.t()));
    }
  }
};

}  // namespace

Tensor stacked_linear(const Tensor& x, const std::vector<Tensor>& weights, Precision precision) {
  const auto type = type_of_products(x, precision);
  std::vector<Tensor> operands;
  for (const Tensor& weight : weights) operands.push_back(weight.to(type));
  return torch::mm(x.to(type), (operands.size() == 1 ? operands[0] : torch::cat(operands)).t());
}

Tensor swiglu(const Tensor& gate_up, Precision precision) {
  const auto parts = gate_up.to(type_of_products(gate_up, precision)).chunk(2, -1);
  return torch::silu(parts[0]) * parts[1];
}

Tensor causal_attention(const Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                        Precision precision) {
  const auto type = type_of_products(qkv, precision);
  const std::int64_t length = table.cosine.size(0);
  const std::int64_t hidden = qkv.size(1) / 3;
  // [3, batch, heads, length, head_dim]
  const Tensor parts = qkv.to(type).view({-1, length, 3, heads, hidden / heads}).permute({2, 0, 3, 1, 4});
  // Wide throughout, so that a turned value is rounded once, and so is its gradient.
  const auto turn = [&](const Tensor& x) {
    const auto halves = x.to(wide_type(qkv)).chunk(2, -1);
    return torch::cat({halves[0] * table.cosine - halves[1] * table.sine,
                       halves[1] * table.cosine + halves[0] * table.sine},
                      -1)
        .to(type);
  };
  return attend(turn(parts[0]), turn(parts[1]), parts[2]).transpose(1, 2).reshape({-1, hidden});
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets, Precision precision,
                            std::int64_t slice_elements) {
  return SlicedCrossEntropy::apply(x, weight, targets, precision, slice_elements);
}

}  // namespace gradstab::lab::on_device
