#include "lab/quantize/quantized_projections.hpp"

#include <algorithm>
#include <utility>

#include "lab/quantize/fake_quantize_composed.hpp"

namespace gradstab::lab {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// Of the order of the elements: groups that share the numbers of a draw. The same ones whatever the number
/// of threads, so that the same random numbers fall on them.
constexpr std::int64_t kChunkGroups = 128;

/// Parts of `chunk` elements, each of which begins with a new group.
void quantize(const Tensor& x, const Tensor& y, const QuantizerOptions& options, std::uint64_t first_draw,
              std::int64_t chunk) {
  constexpr std::int64_t kElements = 32768;  // that a thread takes at a time
  const std::int64_t count = x.numel();
  const float* from = x.data_ptr<float>();
  float* to = y.data_ptr<float>();
  const std::int64_t chunks = count == 0 ? 0 : (count + chunk - 1) / chunk;
  at::parallel_for(
      0, chunks, std::max<std::int64_t>(1, kElements / chunk), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const auto size = static_cast<std::size_t>(std::min(chunk, count - i * chunk));
          QuantizerArrays<float> arrays;
          arrays.draw = first_draw + static_cast<std::uint64_t>(i);
          fake_quantize({from + i * chunk, size}, {to + i * chunk, size}, options, arrays).check();
        }
      });
}

struct FakeQuantized : torch::autograd::Function<FakeQuantized> {
  static Tensor forward(AutogradContext*, const Tensor& x_any, const QuantizerOptions& options,
                        std::uint64_t first_draw, bool by_row) {
    const Tensor x = x_any.contiguous();
    TORCH_CHECK(x.scalar_type() == torch::kFloat, "quantized operands must be float, not ", x.scalar_type());
    if (!x.device().is_cpu()) return composed::fake_quantize(x, options, by_row);
    const Tensor y = torch::empty_like(x);
    const bool within_rows = by_row && x.dim() > 0 && x.size(-1) % options.group_size != 0;
    quantize(x, y, options, first_draw, within_rows ? x.size(-1) : kChunkGroups * options.group_size);
    return y;
  }
  static tensor_list backward(AutogradContext*, const tensor_list& gradients) {
    return {gradients[0], Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor fake_quantized(const Tensor& x, const QuantizerOptions& options, std::uint64_t first_draw) {
  return FakeQuantized::apply(x, options, first_draw, /*by_row=*/false);
}

Tensor fake_quantized_rows(const Tensor& x, const QuantizerOptions& options, std::uint64_t first_draw) {
  return FakeQuantized::apply(x, options, first_draw, /*by_row=*/true);
}

ProjectionHooks quantizing_hooks(const ProjectionQuantizers& quantizers,
                                 std::shared_ptr<QuantizationDraws> draws) {
  return {[options = quantizers.weights, draws](const Tensor& weight) {
            return fake_quantized(weight, options, draws->next());
          },
          [options = quantizers.activations, draws](const Tensor& input) {
            return options.compat == Compat::released ? fake_quantized(input, options, draws->next())
                                                      : fake_quantized_rows(input, options, draws->next());
          }};
}

}  // namespace gradstab::lab
