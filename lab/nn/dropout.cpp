#include "lab/nn/dropout.hpp"

#include "lab/nn/dropout_kernels.hpp"
#include "lab/nn/kernel_node.hpp"

namespace gradstab::lab::nn {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

Tensor dropped(const Tensor& any_x, DropRule rule) {
  const Tensor x = any_x.contiguous();
  const Tensor y = torch::empty_like(x);
  if (x.scalar_type() == torch::kFloat) {
    dropout_kernels<float>().dropout(x.data_ptr<float>(), x.numel(), rule, y.data_ptr<float>());
  } else {
    dropout_kernels<double>().dropout(x.data_ptr<double>(), x.numel(), rule, y.data_ptr<double>());
  }
  return y;
}

struct Dropout : torch::autograd::Function<Dropout> {
  static Tensor forward(AutogradContext* context, const Tensor& x, double rate, CounterKey key) {
    context->saved_data["rate"] = rate;
    context->saved_data["first"] = static_cast<std::int64_t>(key.first);
    context->saved_data["second"] = static_cast<std::int64_t>(key.second);
    return dropped(x, DropRule(key, rate));
  }
  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    require_first_derivative("dropout");
    const CounterKey key{static_cast<std::uint32_t>(context->saved_data["first"].toInt()),
                         static_cast<std::uint32_t>(context->saved_data["second"].toInt())};
    return {dropped(gradients[0], DropRule(key, context->saved_data["rate"].toDouble())), Tensor(), Tensor()};
  }
};

constexpr std::int64_t kLow = 0xFFFFFFFF;

/// mix32 of 32-bit numbers held in int64. The upper half of a product is cut off, so that its overflow does
/// not matter.
Tensor mixed(const Tensor& value) {
  Tensor bits = value.bitwise_xor(value.__rshift__(16)).mul(std::int64_t{0x7feb352d}).bitwise_and(kLow);
  bits = bits.bitwise_xor(bits.__rshift__(15)).mul(std::int64_t{0x846ca68b}).bitwise_and(kLow);
  return bits.bitwise_xor(bits.__rshift__(16));
}

void check(const Tensor& x, double rate) {
  TORCH_CHECK(rate >= 0 && rate < 1, "the rate of dropout must be in [0, 1), got ", rate);
  TORCH_CHECK(x.numel() <= kMostCounterElements, "dropout of ", x.numel(), " elements, expected ",
              kMostCounterElements, " at most");
}

}  // namespace

Tensor composed::dropout_factors(const Tensor& x, double rate, CounterKey key) {
  check(x, rate);
  const DropRule rule(key, rate);
  const Tensor index = torch::arange(x.numel(), torch::TensorOptions(x.device()).dtype(torch::kLong));
  const Tensor first = mixed(index.add(static_cast<std::int64_t>(key.first)).bitwise_and(kLow));
  const Tensor bits = mixed(first.bitwise_xor(static_cast<std::int64_t>(key.second)));
  return bits.__rshift__(8)
      .ge(std::int64_t{rule.threshold})
      .to(x.scalar_type())
      .mul(rule.scale)
      .view(x.sizes());
}

Tensor composed::dropout(const Tensor& x, double rate, CounterKey key) {
  return x * dropout_factors(x, rate, key);
}

Tensor dropout(const Tensor& x, double rate, CounterKey key) {
  check(x, rate);
  if (rate == 0) return x;
  const bool has_kernel =
      x.device().is_cpu() && (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kDouble);
  return has_kernel ? Dropout::apply(x, rate, key) : composed::dropout(x, rate, key);
}

}  // namespace gradstab::lab::nn
