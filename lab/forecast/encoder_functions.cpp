#include "lab/forecast/encoder_functions.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "lab/forecast/encoder_kernels.hpp"
#include "lab/nn/dropout.hpp"
#include "lab/nn/kernel_node.hpp"

namespace gradstab::lab::forecast {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

bool has_kernel(const Tensor& tensor, torch::ScalarType type) {
  return (type == torch::kFloat || type == torch::kDouble) && tensor.scalar_type() == type &&
         tensor.device().is_cpu();
}

bool have_kernel(const std::vector<Tensor>& tensors) {
  const auto type = tensors.front().scalar_type();
  return std::ranges::all_of(tensors, [&](const Tensor& tensor) { return has_kernel(tensor, type); });
}

struct ResidualAttention : torch::autograd::Function<ResidualAttention> {
  static AttentionShape shape_of(const tensor_list& projections, std::int64_t length, std::int64_t heads) {
    const Tensor& last = projections.back();
    return {last.size(0) / length, length, heads, last.size(1) / (3 * heads),
            static_cast<std::int64_t>(projections.size())};
  }
  template <class Scalar>
  static std::vector<Scalar*> pointers(const tensor_list& tensors) {
    std::vector<Scalar*> list;
    for (const Tensor& tensor : tensors) list.push_back(tensor.data_ptr<Scalar>());
    return list;
  }

  static Tensor forward(AutogradContext* context, at::TensorList any_projections, std::int64_t length,
                        std::int64_t heads) {
    tensor_list projections;
    for (const Tensor& tensor : any_projections) projections.push_back(tensor.contiguous());
    const AttentionShape shape = shape_of(projections, length, heads);
    const Tensor& last = projections.back();
    const Tensor y = torch::empty({last.size(0), last.size(1) / 3}, last.options());
    const Tensor log_sum = torch::empty({shape.series, heads, length}, last.options());
    nn::with_scalar(last, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().attention(pointers<Scalar>(projections).data(), shape, y.data_ptr<Scalar>(),
                                          log_sum.data_ptr<Scalar>());
    });
    projections.push_back(log_sum);
    context->save_for_backward(std::move(projections));
    context->saved_data["length"] = length;
    context->saved_data["heads"] = heads;
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the PatchTST kernels");
    tensor_list projections = context->get_saved_variables();
    const Tensor log_sum = std::move(projections.back());
    projections.pop_back();
    const AttentionShape shape =
        shape_of(projections, context->saved_data["length"].toInt(), context->saved_data["heads"].toInt());
    const Tensor dy = gradients[0].contiguous();
    tensor_list result;
    for (const Tensor& projection : projections) result.push_back(torch::empty_like(projection));
    nn::with_scalar(dy, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().attention_backward(
          dy.data_ptr<Scalar>(), pointers<Scalar>(projections).data(), log_sum.data_ptr<Scalar>(), shape,
          pointers<Scalar>(result).data());
    });
    result.resize(result.size() + 2);
    return result;
  }
};

struct FusedFeedForward : torch::autograd::Function<FusedFeedForward> {
  template <class Scalar>
  static FeedForward<Scalar> pointers(const Tensor& inner, const Tensor& inner_bias, const Tensor& outer,
                                      const Tensor& outer_bias) {
    using Plain = std::remove_const_t<Scalar>;
    return {inner.data_ptr<Plain>(), inner_bias.data_ptr<Plain>(), outer.data_ptr<Plain>(),
            outer_bias.data_ptr<Plain>()};
  }
  static c10::IValue packed(nn::CounterKey key) {
    return static_cast<std::int64_t>(std::uint64_t{key.second} << 32U | key.first);
  }
  static nn::CounterKey unpacked(const c10::IValue& value) {
    const auto bits = static_cast<std::uint64_t>(value.toInt());
    return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32U)};
  }

  static Tensor forward(AutogradContext* context, const Tensor& any_x, const Tensor& inner,
                        const Tensor& inner_bias, const Tensor& outer, const Tensor& outer_bias,
                        const FeedForwardDropout& dropout) {
    const Tensor x = any_x.contiguous();
    const Tensor y = torch::empty_like(x);
    context->saved_data["rate"] = dropout.rate;
    context->saved_data["hidden"] = packed(dropout.hidden);
    context->saved_data["output"] = packed(dropout.output);
    const FeedForwardShape shape{x.size(0), x.size(1), inner.size(0),
                                 nn::DropRule(dropout.hidden, dropout.rate),
                                 nn::DropRule(dropout.output, dropout.rate)};
    nn::with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().feed_forward(x.data_ptr<Scalar>(),
                                             pointers<const Scalar>(inner, inner_bias, outer, outer_bias),
                                             shape, y.data_ptr<Scalar>());
    });
    context->save_for_backward({x, inner, inner_bias, outer, outer_bias});
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the PatchTST kernels");
    const tensor_list saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor dy = gradients[0].contiguous();
    tensor_list result;
    for (const Tensor& tensor : saved) result.push_back(torch::empty_like(tensor));
    const double rate = context->saved_data["rate"].toDouble();
    const FeedForwardShape shape{x.size(0), x.size(1), saved[1].size(0),
                                 nn::DropRule(unpacked(context->saved_data["hidden"]), rate),
                                 nn::DropRule(unpacked(context->saved_data["output"]), rate)};
    nn::with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().feed_forward_backward(
          dy.data_ptr<Scalar>(), x.data_ptr<Scalar>(),
          pointers<const Scalar>(saved[1], saved[2], saved[3], saved[4]), shape, result[0].data_ptr<Scalar>(),
          pointers<Scalar>(result[1], result[2], result[3], result[4]));
    });
    result.resize(result.size() + 1);
    return result;
  }
};

/// Weights of this many bytes leave room for rows in the first cache.
constexpr std::size_t kMostWeightBytes = 16384;

struct NarrowLinear : torch::autograd::Function<NarrowLinear> {
  static LinearShape shape_of(const Tensor& x, const Tensor& weight) {
    return {x.size(0), x.size(1), weight.size(0)};
  }

  static Tensor forward(AutogradContext* context, const Tensor& any_x, const Tensor& weight,
                        const Tensor& bias) {
    const Tensor x = any_x.contiguous();
    const Tensor y = torch::empty({x.size(0), weight.size(0)}, x.options());
    nn::with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().linear(x.data_ptr<Scalar>(), weight.data_ptr<Scalar>(),
                                       bias.data_ptr<Scalar>(), shape_of(x, weight), y.data_ptr<Scalar>());
    });
    context->save_for_backward({x, weight});
    context->saved_data["x"] = any_x.requires_grad();
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the PatchTST kernels");
    const tensor_list saved = context->get_saved_variables();
    const Tensor dy = gradients[0].contiguous();
    const Tensor dx = context->saved_data["x"].toBool() ? torch::empty_like(saved[0]) : Tensor();
    const Tensor dweight = torch::empty_like(saved[1]);
    const Tensor dbias = torch::empty({saved[1].size(0)}, saved[1].options());
    nn::with_scalar(dy, [&](auto scalar) {
      using Scalar = decltype(scalar);
      encoder_kernels<Scalar>().linear_backward(dy.data_ptr<Scalar>(), saved[0].data_ptr<Scalar>(),
                                                saved[1].data_ptr<Scalar>(), shape_of(saved[0], saved[1]),
                                                dx.defined() ? dx.data_ptr<Scalar>() : nullptr,
                                                dweight.data_ptr<Scalar>(), dbias.data_ptr<Scalar>());
    });
    return {dx, dweight, dbias};
  }
};

}  // namespace

Tensor composed::residual_attention(const std::vector<Tensor>& projections, std::int64_t length,
                                    std::int64_t heads) {
  const std::int64_t width = projections.back().size(1) / 3;
  // [series, heads, length, head_dim] of queries (0), keys (1) or values (2)
  const auto part = [&](const Tensor& projection, std::int64_t which) {
    return projection.narrow(1, which * width, width)
        .view({-1, length, heads, width / heads})
        .transpose(1, 2);
  };
  const double scale = 1 / std::sqrt(static_cast<double>(width / heads));
  Tensor scores;
  for (const Tensor& projection : projections) {
    const Tensor own = torch::matmul(part(projection, 0) * scale, part(projection, 1).transpose(2, 3));
    scores = scores.defined() ? scores + own : own;
  }
  return torch::matmul(torch::softmax(scores, -1), part(projections.back(), 2))
      .transpose(1, 2)
      .reshape({-1, width});
}

Tensor composed::feed_forward(const Tensor& x, const FeedForwardWeights& weights,
                              const FeedForwardDropout& dropout) {
  Tensor hidden = torch::gelu(torch::linear(x, weights.inner, weights.inner_bias));
  if (dropout.rate != 0) hidden = nn::composed::dropout(hidden, dropout.rate, dropout.hidden);
  Tensor branch = torch::linear(hidden, weights.outer, weights.outer_bias);
  if (dropout.rate != 0) branch = nn::composed::dropout(branch, dropout.rate, dropout.output);
  return x + branch;
}

Tensor residual_attention(const std::vector<Tensor>& projections, std::int64_t length, std::int64_t heads) {
  TORCH_CHECK(!projections.empty(), "attention needs the projections of one layer at least");
  const auto sizes = projections.back().sizes();
  for (const Tensor& projection : projections)
    TORCH_CHECK(projection.sizes() == sizes, "the projections of all layers must have one shape, got ",
                projection.sizes(), " and ", sizes);
  TORCH_CHECK(
      sizes.size() == 2 && heads > 0 && length > 0 && sizes[0] % length == 0 && sizes[1] % (3 * heads) == 0,
      "projections must be [series * ", length, ", 3 * ", heads, " * head width], got ", sizes);
  if (!have_kernel(projections)) return composed::residual_attention(projections, length, heads);
  return ResidualAttention::apply(at::TensorList(projections), length, heads);
}

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (!have_kernel({x, weight, bias}) || weight.nbytes() > kMostWeightBytes)
    return torch::linear(x, weight, bias);
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1) && bias.dim() == 1 &&
                  bias.size(0) == weight.size(0),
              "linear needs x [rows, in], weight [out, in] and bias [out], got ", x.sizes(), ", ",
              weight.sizes(), " and ", bias.sizes());
  return NarrowLinear::apply(x, weight.contiguous(), bias.contiguous());
}

Tensor feed_forward(const Tensor& x, const FeedForwardWeights& weights, const FeedForwardDropout& dropout) {
  const auto& [inner, inner_bias, outer, outer_bias] = weights;
  if (!have_kernel({x, inner, inner_bias, outer, outer_bias}))
    return composed::feed_forward(x, weights, dropout);
  TORCH_CHECK(dropout.rate >= 0 && dropout.rate < 1, "the rate of dropout must be in [0, 1), got ",
              dropout.rate);
  TORCH_CHECK(x.size(0) * inner.size(0) <= nn::kMostCounterElements, "the hidden activations are ",
              x.size(0) * inner.size(0), " numbers, expected ", nn::kMostCounterElements, " at most");
  return FusedFeedForward::apply(x, inner.contiguous(), inner_bias.contiguous(), outer.contiguous(),
                                 outer_bias.contiguous(), dropout);
}

}  // namespace gradstab::lab::forecast
