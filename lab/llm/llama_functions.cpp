#include "lab/llm/llama_functions.hpp"

#include <algorithm>
#include <type_traits>

#include "lab/nn/cpu_kernels.hpp"
#include "lab/nn/kernel_node.hpp"
#include "lab/nn/loss_slices.hpp"
#include "lab/nn/low_precision.hpp"

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

/// The same for kernels that round, which exist for float alone.
template <class... Tensors>
bool has_kernels(Precision precision, const Tensor& first, const Tensors&... others) {
  return has_kernels(first, others...) &&
         (!has_16_bit_activations(precision) || first.scalar_type() == torch::kFloat);
}

template <class Scalar>
const CpuKernels<Scalar>& kernels_for(AutogradContext* context) {
  if constexpr (std::is_same_v<Scalar, float>)
    return cpu_kernels(static_cast<Precision>(context->saved_data["precision"].toInt()));
  return cpu_kernels<Scalar>();
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& gain, double epsilon) {
    const Tensor x = x_any.contiguous();
    const Tensor y = torch::empty_like(x);
    const Tensor inverse_rms = torch::empty({x.size(0)}, x.options());
    nn::with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().rms_norm(x.data_ptr<Scalar>(), gain.data_ptr<Scalar>(), x.size(0), x.size(1),
                                     epsilon, y.data_ptr<Scalar>(), inverse_rms.data_ptr<Scalar>());
    });
    context->save_for_backward({x, gain, inverse_rms});
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the LLaMA kernels");
    const auto saved = context->get_saved_variables();
    const Tensor& x = saved[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dx = torch::empty_like(x);
    const Tensor dgain = torch::empty_like(saved[1]);
    nn::with_scalar(x, [&](auto scalar) {
      using Scalar = decltype(scalar);
      cpu_kernels<Scalar>().rms_norm_backward(
          dy.data_ptr<Scalar>(), x.data_ptr<Scalar>(), saved[1].data_ptr<Scalar>(),
          saved[2].data_ptr<Scalar>(), x.size(0), x.size(1), dx.data_ptr<Scalar>(), dgain.data_ptr<Scalar>());
    });
    return {dx, dgain, Tensor()};
  }
};

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* context, const Tensor& gate_up_any, Precision precision) {
    context->saved_data["precision"] = static_cast<std::int64_t>(precision);
    const Tensor gate_up = gate_up_any.contiguous();
    const std::int64_t width = gate_up.size(1) / 2;
    const Tensor y = torch::empty({gate_up.size(0), width}, gate_up.options());
    nn::with_scalar(gate_up, [&](auto scalar) {
      using Scalar = decltype(scalar);
      kernels_for<Scalar>(context).swiglu(gate_up.data_ptr<Scalar>(), y.size(0), width, y.data_ptr<Scalar>());
    });
    context->save_for_backward({gate_up});
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the LLaMA kernels");
    const Tensor gate_up = context->get_saved_variables()[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dgate_up = torch::empty_like(gate_up);
    nn::with_scalar(dy, [&](auto scalar) {
      using Scalar = decltype(scalar);
      kernels_for<Scalar>(context).swiglu_backward(dy.data_ptr<Scalar>(), gate_up.data_ptr<Scalar>(),
                                                   dy.size(0), dy.size(1), dgate_up.data_ptr<Scalar>());
    });
    return {dgate_up, Tensor()};
  }
};

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static AttentionShape shape_of(const Tensor& qkv, const Tensor& cosine, std::int64_t heads) {
    const std::int64_t length = cosine.size(0);
    return {qkv.size(0) / length, length, heads, qkv.size(1) / (3 * heads)};
  }
  static Tensor forward(AutogradContext* context, const Tensor& qkv_any, const Tensor& cosine,
                        const Tensor& sine, std::int64_t heads, Precision precision) {
    context->saved_data["precision"] = static_cast<std::int64_t>(precision);
    const Tensor qkv = qkv_any.contiguous();
    const AttentionShape shape = shape_of(qkv, cosine, heads);
    const Tensor y = torch::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
    const Tensor log_sum = torch::empty({shape.batch, heads, shape.length}, qkv.options());
    nn::with_scalar(qkv, [&](auto scalar) {
      using Scalar = decltype(scalar);
      kernels_for<Scalar>(context).attention(qkv.data_ptr<Scalar>(), cosine.data_ptr<Scalar>(),
                                             sine.data_ptr<Scalar>(), shape, y.data_ptr<Scalar>(),
                                             log_sum.data_ptr<Scalar>());
    });
    context->save_for_backward({qkv, cosine, sine, log_sum});
    context->saved_data["heads"] = heads;
    return y;
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("the LLaMA kernels");
    const auto saved = context->get_saved_variables();
    const Tensor& qkv = saved[0];
    const Tensor dy = gradients[0].contiguous();
    const Tensor dqkv = torch::empty_like(qkv);
    nn::with_scalar(qkv, [&](auto scalar) {
      using Scalar = decltype(scalar);
      kernels_for<Scalar>(context).attention_backward(
          dy.data_ptr<Scalar>(), qkv.data_ptr<Scalar>(), saved[1].data_ptr<Scalar>(),
          saved[2].data_ptr<Scalar>(), saved[3].data_ptr<Scalar>(),
          shape_of(qkv, saved[1], context->saved_data["heads"].toInt()), dqkv.data_ptr<Scalar>());
    });
    return {dqkv, Tensor(), Tensor(), Tensor(), Tensor()};
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
    nn::require_first_derivative("the LLaMA kernels");
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
  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& weight,
                        const Tensor& targets_any, bool need_gradients) {
    const Tensor x = x_any.contiguous();
    const Tensor targets = targets_any.contiguous();
    const std::int64_t rows = x.size(0);
    const std::int64_t classes = weight.size(0);
    const auto counted = static_cast<double>(count_targets(targets, rows, classes));
    if (counted == 0) need_gradients = false;  // 0/0: the loss is NaN, the gradients of nothing are zero
    const double scale = need_gradients ? 1 / counted : 0;

    const std::int64_t slice_rows = loss_slice_rows(rows, classes);
    const Tensor buffer = torch::empty({slice_rows, classes}, x.options());
    const Tensor losses = torch::empty({rows}, x.options());
    const Tensor dx = need_gradients ? torch::empty_like(x) : torch::zeros_like(x);
    Tensor dweight = torch::zeros_like(weight);
    for (std::int64_t begin = 0; begin < rows; begin += slice_rows) {
      const std::int64_t count = std::min(slice_rows, rows - begin);
      const Tensor x_slice = x.narrow(0, begin, count);
      Tensor logits = buffer.narrow(0, 0, count);
      torch::mm_out(logits, x_slice, weight.t());
      nn::with_scalar(x, [&](auto scalar) {
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
    nn::require_first_derivative("the LLaMA kernels");
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

Tensor swiglu(const Tensor& gate_up, Precision precision) {
  if (!gate_up.device().is_cpu()) return on_device::swiglu(gate_up, precision);
  return has_kernels(precision, gate_up) ? SwiGlu::apply(gate_up, precision)
                                         : composed::swiglu(gate_up, precision);
}

Tensor causal_attention(const Tensor& qkv, const RotaryTable& table, std::int64_t heads,
                        Precision precision) {
  if (!qkv.device().is_cpu()) return on_device::causal_attention(qkv, table, heads, precision);
  if (!has_kernels(precision, qkv, table.cosine, table.sine))
    return composed::causal_attention(qkv, table, heads, precision);
  return CausalAttention::apply(qkv, table.cosine, table.sine, heads, precision);
}

Tensor stacked_linear(const Tensor& x, const std::vector<Tensor>& weights, Precision precision) {
  if (has_16_bit_activations(precision)) {
    if (!x.device().is_cpu()) return on_device::stacked_linear(x, weights, precision);
    return has_kernels(precision, x, weights[0]) ? low_precision_linear(x, weights, precision)
                                                 : composed::stacked_linear(x, weights, precision);
  }
  return weights.size() == 1 ? torch::mm(x, weights[0].t())
                             : StackedLinear::apply(x, at::TensorList(weights));
}

Tensor linear_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets,
                            Precision precision) {
  if (!x.device().is_cpu()) return on_device::linear_cross_entropy(x, weight, targets, precision);
  if (!has_kernels(precision, x, weight) || !targets.device().is_cpu())
    return composed::linear_cross_entropy(x, weight, targets, precision);
  if (has_16_bit_activations(precision)) return low_precision_cross_entropy(x, weight, targets, precision);
  // Inside forward() gradient mode is off, so the question has to be asked here.
  const bool need_gradients = torch::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  return LinearCrossEntropy::apply(x, weight, targets, need_gradients);
}

}  // namespace gradstab::lab
