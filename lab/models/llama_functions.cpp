#include "lab/models/llama_functions.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lab/models/cpu_kernels.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// Whether the CPU kernels can work on these tensors; otherwise the compositions do.
template <class... Tensors>
bool has_kernels(const Tensor& first, const Tensors&... others) {
  const auto type = first.scalar_type();
  return (type == torch::kFloat || type == torch::kDouble) && first.device().is_cpu() &&
         ((others.scalar_type() == type && others.device().is_cpu()) && ...);
}

/// Calls `body` with a value of the tensor's element type, float or double.
template <class Body>
void with_scalar(const Tensor& tensor, const Body& body) {
  if (tensor.scalar_type() == torch::kFloat) {
    body(float{});
  } else {
    body(double{});
  }
}

void require_first_derivative() {
  TORCH_CHECK(!torch::GradMode::is_enabled(), "the LLaMA kernels have no second derivative (create_graph)");
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& gain, double epsilon) {
    const Tensor x = x_any.contiguous();
    const Tensor y = torch::empty_like(x);
    const Tensor inverse_rms = torch::empty({x.size(0)}, x.options());
    with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().rms_norm(x.data_ptr<Scalar>(), gain.data_ptr<Scalar>(), x.size(0), x.size(1),
                                     epsilon, y.data_ptr<Scalar>(), inverse_rms.data_ptr<Scalar>());
    });
    context->save_for_backward({x, gain, inverse_rms});
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative();
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dx = torch::empty_like(x);
    const Tensor dgain = torch::empty_like(saved[1]);
    with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().rms_norm_backward(
          dy.data_ptr<Scalar>(), x.data_ptr<Scalar>(), saved[1].data_ptr<Scalar>(),
          saved[2].data_ptr<Scalar>(), x.size(0), x.size(1), dx.data_ptr<Scalar>(), dgain.data_ptr<Scalar>());
    });
    return {dx, dgain, Tensor()};
  }
};

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up_any) {
    const Tensor gate_up = gate_up_any.contiguous();
    const std::int64_t width = gate_up.size(1) / 2;
    const Tensor y = torch::empty({gate_up.size(0), width}, gate_up.options());
    with_scalar(gate_up, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().swiglu(gate_up.data_ptr<Scalar>(), y.size(0), width, y.data_ptr<Scalar>());
    });
    context->save_for_backward({gate_up});
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative();
    const Tensor gate_up = context->get_saved_variables()[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dgate_up = torch::empty_like(gate_up);
    with_scalar(dy, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().swiglu_backward(dy.data_ptr<Scalar>(), gate_up.data_ptr<Scalar>(), dy.size(0),
                                            dy.size(1), dgate_up.data_ptr<Scalar>());
    });
    return {dgate_up};
  }
};

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static AttentionShape shape_of(const Tensor& qkv, const Tensor& cosine, std::int64_t heads) {
    const std::int64_t length = cosine.size(0);
    return {qkv.size(0) / length, length, heads, qkv.size(1) / (3 * heads)};
  }
  static Tensor forward(AutogradContext* context, const Tensor& qkv_any, const Tensor& cosine,
                        const Tensor& sine, std::int64_t heads) {
    const Tensor qkv = qkv_any.contiguous();
    const AttentionShape shape = shape_of(qkv, cosine, heads);
    const Tensor y = torch::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
    const Tensor log_sum = torch::empty({shape.batch, heads, shape.length}, qkv.options());
    with_scalar(qkv, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().attention(qkv.data_ptr<Scalar>(), cosine.data_ptr<Scalar>(),
                                      sine.data_ptr<Scalar>(), shape, y.data_ptr<Scalar>(),
                                      log_sum.data_ptr<Scalar>());
    });
    context->save_for_backward({qkv, cosine, sine, log_sum});
    context->saved_data["heads"] = heads;
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative();
    const auto saved = context->get_saved_variables();
    const Tensor& qkv = saved[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dqkv = torch::empty_like(qkv);
    with_scalar(qkv, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().attention_backward(
          dy.data_ptr<Scalar>(), qkv.data_ptr<Scalar>(), saved[1].data_ptr<Scalar>(),
          saved[2].data_ptr<Scalar>(), saved[3].data_ptr<Scalar>(),
          shape_of(qkv, saved[1], context->saved_data["heads"].toInt()), dqkv.data_ptr<Scalar>());
    });
    return {dqkv, Tensor(), Tensor(), Tensor()};
  }
};

/// Stacking costs a copy of the weights, made once forward and once backward and dropped at once: a graph
/// that kept it would hold every weight of the model a second time.
struct StackedLinear : torch::autograd::Function<StackedLinear> {
  static Tensor forward(AutogradContext* context, const Tensor& x, at::TensorList weights) {
    tensor_list saved = weights.vec();
    saved.push_back(x);
    context->save_for_backward(std::move(saved));
    return torch::mm(x, torch::cat(weights).t());
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative();
    tensor_list weights = context->get_saved_variables();
    const Tensor x = std::move(weights.back());
    weights.pop_back();
    const Tensor& dy = gradients[0];
    tensor_list result{torch::mm(dy, torch::cat(weights))};
    const Tensor dweights = torch::mm(dy.t(), x);
    std::int64_t begin = 0;
    for (const Tensor& weight : weights) {
      result.push_back(dweights.narrow(0, begin, weight.size(0)));
      begin += weight.size(0);
    }
    return result;
  }
};

struct LinearCrossEntropy : torch::autograd::Function<LinearCrossEntropy> {
  /// Logits of one slice: 8 MB in float, so that the passes over them find them in the cache.
  static constexpr std::int64_t kSliceElements = 1 << 21;

  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& weight,
                        const Tensor& targets_any, bool need_gradients) {
    const Tensor x = x_any.contiguous();
    const Tensor targets = targets_any.contiguous();
    const std::int64_t rows = x.size(0);
    const std::int64_t classes = weight.size(0);
    TORCH_CHECK(targets.numel() == rows && rows > 0, "one target per row is needed");
    TORCH_CHECK(targets.max().item<std::int64_t>() < classes, "a target is outside the ", classes,
                " classes");
    const auto counted = static_cast<double>((targets >= 0).sum().item<std::int64_t>());
    if (counted == 0) need_gradients = false;  // 0/0: the loss is NaN, the gradients of nothing are zero
    const double scale = need_gradients ? 1 / counted : 0;

    const std::int64_t slice_rows = std::clamp<std::int64_t>(kSliceElements / classes, 1, rows);
    const Tensor buffer = torch::empty({slice_rows, classes}, x.options());
    const Tensor losses = torch::empty({rows}, x.options());
    const Tensor dx = need_gradients ? torch::empty_like(x) : torch::zeros_like(x);
    Tensor dweight = torch::zeros_like(weight);
    for (std::int64_t begin = 0; begin < rows; begin += slice_rows) {
      const std::int64_t count = std::min(slice_rows, rows - begin);
      const Tensor x_slice = x.narrow(0, begin, count);
      Tensor logits = buffer.narrow(0, 0, count);
      torch::mm_out(logits, x_slice, weight.t());
      with_scalar(x, [&](auto scalar) {
        using Scalar = decltype(scalar);
        cpu_kernels<Scalar>().cross_entropy(logits.data_ptr<Scalar>(),
                                            targets.data_ptr<std::int64_t>() + begin, count, classes,
                                            static_cast<Scalar>(scale), losses.data_ptr<Scalar>() + begin);
      });
      if (!need_gradients) continue;
      Tensor dx_slice = dx.narrow(0, begin, count);
      torch::mm_out(dx_slice, logits, weight);
      dweight.addmm_(logits.t(), x_slice);
    }
    context->save_for_backward({dx, dweight});
    return losses.sum() / counted;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative();
    const auto saved = context->get_saved_variables();
    return {saved[0] * gradients[0], saved[1] * gradients[0], Tensor(), Tensor()};
  }
};

}  // namespace

RotaryTable rotary_table(std::int64_t length, std::int64_t head_dim, double base,
                         const torch::TensorOptions& options) {
  const auto in_double = torch::TensorOptions(torch::kDouble);
  const Tensor frequency =
      torch::pow(base, torch::arange(0, head_dim, 2, in_double) / -static_cast<double>(head_dim));
  const Tensor angle = torch::outer(torch::arange(length, in_double), frequency);
  return {angle.cos().to(options), angle.sin().to(options)};
}

Tensor rms_norm(const Tensor& x, const Tensor& gain, double epsilon) {
  if (!has_kernels(x, gain)) return composed::rms_norm(x, gain, epsilon);
  return RmsNorm::apply(x, gain, epsilon);
}

Tensor swiglu(const Tensor& gate_up) {
  return has_kernels(gate_up) ? SwiGlu::apply(gate_up) : composed::swiglu(gate_up);
}

Tensor causal_attention(const Tensor& qkv, const RotaryTable& table, std::int64_t heads) {
  if (!has_kernels(qkv, table.cosine, table.sine)) return composed::causal_attention(qkv, table, heads);
  return CausalAttention::apply(qkv, table.cosine, table.sine, heads);
}

Tensor stacked_linear(const Tensor& x, const std::vector<Tensor>& weights) {
  return weights.size() == 1 ? torch::mm(x, weights[0].t())
                             : StackedLinear::apply(x, at::TensorList(weights));
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets) {
  if (!has_kernels(x, weight) || !targets.device().is_cpu())
    return composed::linear_cross_entropy(x, weight, targets);
  // Inside forward() gradient mode is off, so the question has to be asked here.
  const bool need_gradients = torch::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  return LinearCrossEntropy::apply(x, weight, targets, need_gradients);
}

namespace composed {

Tensor stacked_linear(const Tensor& x, const std::vector<Tensor>& weights) {
  return torch::mm(x, torch::cat(weights).t());
}

Tensor rms_norm(const Tensor& x, const Tensor& gain, double epsilon) {
  const Tensor wide = x.scalar_type() == torch::kDouble ? x : x.to(torch::kFloat);
  const Tensor normalized = wide * torch::rsqrt(wide.square().mean(-1, true) + epsilon);
  return normalized.to(x.scalar_type()) * gain.to(x.scalar_type());
}

Tensor swiglu(const Tensor& gate_up) {
  const auto parts = gate_up.chunk(2, -1);
  return torch::silu(parts[0]) * parts[1];
}

Tensor causal_attention(const Tensor& qkv, const RotaryTable& table, std::int64_t heads) {
  const std::int64_t length = table.cosine.size(0);
  const std::int64_t hidden = qkv.size(1) / 3;
  // [3, batch, heads, length, head_dim]
  const Tensor parts = qkv.view({-1, length, 3, heads, hidden / heads}).permute({2, 0, 3, 1, 4});
  const Tensor cosine = torch::cat({table.cosine, table.cosine}, -1).to(qkv.scalar_type());
  const Tensor sine = torch::cat({table.sine, table.sine}, -1).to(qkv.scalar_type());
  const auto turn = [&](const Tensor& x) {
    const auto halves = x.chunk(2, -1);
    return x * cosine + torch::cat({-halves[1], halves[0]}, -1) * sine;
  };
  const Tensor scores = torch::matmul(turn(parts[0]), turn(parts[1]).transpose(-1, -2)) /
                        std::sqrt(static_cast<double>(hidden / heads));
  const Tensor future = torch::ones({length, length}, qkv.options().dtype(torch::kBool)).triu(1);
  const Tensor weights =
      torch::softmax(scores.masked_fill(future, -std::numeric_limits<double>::infinity()), -1);
  return torch::matmul(weights, parts[2]).transpose(1, 2).reshape({-1, hidden});
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets) {
  const Tensor logits = torch::mm(x, weight.t());
  const Tensor log_probabilities =
      torch::log_softmax(logits, -1, logits.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat);
  const Tensor counted = targets.ge(0);
  const Tensor picked = log_probabilities.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  return -picked.masked_fill(counted.logical_not(), 0).sum() / counted.sum();
}

}  // namespace composed

}  // namespace gradstab::lab
