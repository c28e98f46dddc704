#include "lab/nn/low_precision.hpp"

#include <utility>

#include "lab/nn/cpu_kernels.hpp"
#include "lab/nn/kernel_node.hpp"
#include "lab/nn/loss_slices.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr const char* kPrecisionKey = "precision";

void keep(AutogradContext* context, Precision precision) {
  context->saved_data[kPrecisionKey] = static_cast<std::int64_t>(precision);
}
Precision kept(AutogradContext* context) {
  return static_cast<Precision>(context->saved_data[kPrecisionKey].toInt());
}

void round_into(const Tensor& x, Precision precision, const Tensor& y) {
  cpu_kernels(precision).round(x.data_ptr<float>(), x.numel(), y.data_ptr<float>());
}

/// For fresh results of float products.
Tensor round_in_place(Tensor x, Precision precision) {
  round_into(x, precision, x);
  return x;
}

struct RoundValues : torch::autograd::Function<RoundValues> {
  static Tensor forward(AutogradContext*, const Tensor& x, Precision precision) {
    return rounded(x, precision);
  }
  static tensor_list backward(AutogradContext*, const tensor_list& gradients) {
    return {gradients[0], Tensor()};
  }
};

struct RoundGradient : torch::autograd::Function<RoundGradient> {
  static Tensor forward(AutogradContext* context, const Tensor& x, Precision precision) {
    keep(context, precision);
    return x.view_as(x);
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    return {rounded(gradients[0], kept(context)), Tensor()};
  }
};

struct LowPrecisionLinear : torch::autograd::Function<LowPrecisionLinear> {
  static Tensor rounded_stack(at::TensorList weights, Precision precision) {
    return weights.size() == 1 ? rounded(weights[0], precision)
                               : round_in_place(torch::cat(weights), precision);
  }
  static Tensor forward(AutogradContext* context, const Tensor& x_any, at::TensorList weights,
                        Precision precision) {
    keep(context, precision);
    const Tensor x = rounded(x_any, precision);
    tensor_list saved = weights.vec();
    saved.push_back(x);
    context->save_for_backward(std::move(saved));
    return round_in_place(torch::mm(x, rounded_stack(weights, precision).t()), precision);
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("low-precision products");
    const Precision precision = kept(context);
    tensor_list weights = context->get_saved_variables();
    const Tensor x = std::move(weights.back());
    weights.pop_back();
    // From the residual stream comes an f32 gradient; autocast casts it to the format of the output.
    const Tensor dy = rounded(gradients[0], precision);
    tensor_list result{round_in_place(torch::mm(dy, rounded_stack(weights, precision)), precision)};
    const Tensor dweights = round_in_place(torch::mm(dy.t(), x), precision);
    std::int64_t begin = 0;
    for (const Tensor& weight : weights) {
      result.push_back(dweights.narrow(0, begin, weight.size(0)));
      begin += weight.size(0);
    }
    result.emplace_back();
    return result;
  }
};

/// Unlike the f32 node this one computes the gradients in the backward pass, from the logits once more: what
/// the gradients of the logits lose by rounding depends on the loss scale, which arrives only then.
struct LowPrecisionCrossEntropy : torch::autograd::Function<LowPrecisionCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& x_any, const Tensor& weight_f32,
                        const Tensor& targets_any, Precision precision) {
    const Tensor x = rounded(x_any, precision);
    const Tensor weight = rounded(weight_f32, precision);
    const Tensor targets = targets_any.contiguous();
    const std::int64_t counted = count_targets(targets, x.size(0), weight.size(0));
    keep(context, precision);
    context->saved_data["counted"] = counted;
    context->save_for_backward({x, weight_f32, targets});
    const Tensor losses = torch::empty({x.size(0)}, x.options());
    in_slices(x, weight, [&](std::int64_t begin, const Tensor& x_slice, Tensor logits) {
      cross_entropy(x_slice, weight, targets, begin, precision, 0, logits, losses);
    });
    return losses.sum() / static_cast<double>(counted);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    nn::require_first_derivative("low-precision products");
    const auto saved = context->get_saved_variables();
    const Precision precision = kept(context);
    const Tensor& x = saved[0];
    const std::int64_t counted = context->saved_data["counted"].toInt();
    const float scale = counted == 0 ? 0 : gradients[0].item<float>() / static_cast<float>(counted);
    const Tensor dx = torch::zeros_like(x);
    Tensor dweight = torch::zeros_like(saved[1]);
    if (scale != 0) {
      const Tensor weight = rounded(saved[1], precision);
      const Tensor losses = torch::empty({x.size(0)}, x.options());
      in_slices(x, weight, [&](std::int64_t begin, const Tensor& x_slice, Tensor logits) {
        cross_entropy(x_slice, weight, saved[2], begin, precision, scale, logits, losses);
        const Tensor dlogits = round_in_place(logits, precision);
        Tensor dx_slice = dx.narrow(0, begin, x_slice.size(0));
        torch::mm_out(dx_slice, dlogits, weight);
        dweight.addmm_(dlogits.t(), x_slice);
      });
    }
    return {round_in_place(dx, precision), round_in_place(dweight, precision), Tensor(), Tensor()};
  }

 private:
  /// Calls visit(first row, rows of x, room for their logits).
  template <class Visit>
  static void in_slices(const Tensor& x, const Tensor& weight, const Visit& visit) {
    const std::int64_t rows = x.size(0);
    const std::int64_t slice_rows = loss_slice_rows(rows, weight.size(0));
    const Tensor buffer = torch::empty({slice_rows, weight.size(0)}, x.options());
    for (std::int64_t begin = 0; begin < rows; begin += slice_rows) {
      const std::int64_t count = std::min(slice_rows, rows - begin);
      visit(begin, x.narrow(0, begin, count), buffer.narrow(0, 0, count));
    }
  }

  static void cross_entropy(const Tensor& x_slice, const Tensor& weight, const Tensor& targets,
                            std::int64_t begin, Precision precision, float scale, Tensor& logits,
                            const Tensor& losses) {
    torch::mm_out(logits, x_slice, weight.t());
    round_into(logits, precision, logits);
    cpu_kernels(precision).cross_entropy(logits.data_ptr<float>(), targets.data_ptr<std::int64_t>() + begin,
                                         x_slice.size(0), weight.size(0), scale,
                                         losses.data_ptr<float>() + begin);
  }
};

}  // namespace

Tensor rounded(const Tensor& x, Precision precision) {
  if (!has_16_bit_activations(precision)) return x;
  if (x.scalar_type() == torch::kFloat && x.device().is_cpu()) {
    const Tensor in = x.contiguous();
    Tensor out = torch::empty(in.sizes(), in.options().requires_grad(false));
    round_into(in, precision, out);
    return out;
  }
  return x.to(precision == Precision::fp16 ? torch::kHalf : torch::kBFloat16).to(x.scalar_type());
}

Tensor round_values(const Tensor& x, Precision precision) {
  return has_16_bit_activations(precision) ? RoundValues::apply(x, precision) : x;
}

Tensor round_gradient(const Tensor& x, Precision precision) {
  return has_16_bit_activations(precision) ? RoundGradient::apply(x, precision) : x;
}

Tensor cast(const Tensor& x, Precision precision) {
  return round_gradient(round_values(x, precision), precision);
}

Tensor low_precision_linear(const Tensor& x, const std::vector<Tensor>& weights, Precision precision) {
  return LowPrecisionLinear::apply(x, at::TensorList(weights), precision);
}

Tensor low_precision_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets,
                                   Precision precision) {
  return LowPrecisionCrossEntropy::apply(x, weight, targets, precision);
}

}  // namespace gradstab::lab
