#include "aten/plain_tensors.hpp"

#include <ATen/ATen.h>
#include <ATen/MemoryOverlap.h>
#include <c10/core/DispatchKeySet.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

using Key = c10::DispatchKey;

std::uint64_t bits_of(c10::DispatchKeySet keys) noexcept {
  return keys.raw_repr();
}

/// What may be said of a tensor with plain memory. Everything else is a kind of its own, also what later
/// versions of LibTorch add.
std::uint64_t plain_bits() noexcept {
  return bits_of(c10::DispatchKeySet({Key::Dense, Key::ADInplaceOrView}) | c10::autograd_dispatch_keyset |
                 c10::autocast_dispatch_keyset) |
         c10::full_backend_mask;
}

/// Whether nothing else is said of it.
bool is_at_most(const at::Tensor& tensor, std::uint64_t bits) noexcept {
  return (bits_of(tensor.key_set()) & ~bits) == 0;
}

bool has(const at::Tensor& tensor, c10::DispatchKey key) {
  return tensor.key_set().has(key);
}

/// ZeroTensor: zeros that are not there.
bool is_zero_tensor(const at::Tensor& tensor) {
  return has(tensor, Key::ZeroTensor);
}

bool overlaps(const at::Tensor& tensor) {
  TensorRef reference;
  reference.sizes = {tensor.sizes().data(), tensor.sizes().size()};
  reference.strides = {tensor.strides().data(), tensor.strides().size()};
  return overlaps_itself(reference);
}

}  // namespace

bool is_plain(const at::Tensor& tensor) noexcept {
  static const std::uint64_t plain = plain_bits();
  return is_at_most(tensor, plain) && !tensor.is_meta() && tensor.layout() == at::kStrided;
}

std::string why_not_plain(const at::Tensor& tensor) {
  if (has(tensor, Key::Python)) {
    return "is a tensor subclass whose memory only Python knows (such as DTensor inside another one, or "
           "FakeTensor); pass the plain tensor inside it";
  }
  if (has(tensor, Key::FuncTorchBatched) || has(tensor, Key::FuncTorchGradWrapper))
    return "belongs to a transformation of torch.func such as vmap or grad; step outside of it";
  if (tensor.is_nested()) return "is a nested tensor; give its parts as tensors of their own";
  if (tensor.is_meta()) {
    return "is on device meta, where tensors have shapes and no numbers; give the model memory first "
           "(to_empty), and a gradient";
  }
  if (tensor.is_quantized()) return "is quantized; dequantize it first";
  if (tensor.layout() == at::kMkldnn) return "is in the layout of mkldnn; call to_dense first";
  if (tensor.layout() == at::kSparse) return "is sparse; make it dense first (to_dense)";
  if (tensor.layout() != at::kStrided) {
    return "has a layout that is neither strided nor sparse COO; convert it by to_dense or to_sparse first";
  }
  if (is_zero_tensor(tensor)) return "is a ZeroTensor, which has no memory; clone it first";
  if (tensor.is_neg() || tensor.is_conj())
    return "is a lazy view (negative or conjugate bit); call resolve_neg or resolve_conj first";
  return "is a tensor without its own memory (" + c10::toString(tensor.key_set()) + "); clone it first";
}

std::vector<std::int64_t> registered_shape(at::IntArrayRef sizes, bool is_complex) {
  std::vector<std::int64_t> shape = sizes.vec();
  if (!is_complex) return shape;
  if (shape.size() == 1) shape.insert(shape.begin(), 1);
  shape.push_back(2);
  return shape;
}

Result<std::vector<std::int64_t>> registered_shape(const at::Tensor& tensor, const std::string& name) {
  if (tensor.is_nested()) {
    return Status(
        StatusCode::unsupported,
        "parameter '" + name + "' is a nested tensor, which has no shape; give its parts as parameters");
  }
  return registered_shape(tensor.sizes(), tensor.is_complex());
}

bool has_shape(const at::Tensor& tensor, const std::vector<std::int64_t>& shape) {
  if (!tensor.is_complex()) return tensor.sizes() == at::IntArrayRef(shape);
  return registered_shape(tensor.sizes(), true) == shape;
}

at::Tensor in_registered_shape(const at::Tensor& tensor) {
  if (!tensor.is_complex()) return tensor;
  const at::Tensor real = at::view_as_real(tensor);
  return tensor.dim() == 1 ? real.unsqueeze(0) : real;
}

namespace {

/// float64 on the host, in the registered shape and the memory order of a parameter.
at::Tensor in_order_of(const at::Tensor& parameter) {
  const at::Tensor real = in_registered_shape(parameter.detach().resolve_conj());
  return at::empty_like(real, real.options().dtype(at::kDouble).device(at::kCPU).requires_grad(false));
}

}  // namespace

std::vector<double> in_memory_order(const at::Tensor& values, const at::Tensor& parameter) {
  const c10::NoGradGuard no_grad;
  at::Tensor ordered = in_order_of(parameter);
  ordered.copy_(in_registered_shape(values.detach().resolve_conj()));
  const auto* data = ordered.data_ptr<double>();
  return {data, data + ordered.numel()};
}

at::Tensor from_memory_order(const std::vector<double>& values, const at::Tensor& parameter) {
  const c10::NoGradGuard no_grad;
  const at::Tensor ordered = in_order_of(parameter);
  std::ranges::copy(values, ordered.data_ptr<double>());
  if (!parameter.is_complex()) return ordered;
  return at::view_as_complex(parameter.dim() == 1 ? ordered.squeeze(0) : ordered);
}

void add_reshaped(const ParameterSet& before, const ParameterSet& now, std::vector<std::size_t>& fresh) {
  for (std::size_t i = 0; i < now.size(); ++i) {
    const std::ptrdiff_t found = before.find(now[i].name);
    if (found >= 0 && before[static_cast<std::size_t>(found)].sizes != now[i].sizes) fresh.push_back(i);
  }
}

Status PlainTensors::refuse(const std::string& name, const std::string& what) const {
  const bool gradient = use_ == TensorUse::transformed_gradients || use_ == TensorUse::optimizers_gradients;
  return {StatusCode::unsupported,
          std::string(gradient ? "gradient of '" : "parameter '") + name + "' " + what};
}

bool PlainTensors::replaces(const at::Tensor& tensor) const {
  if (!tensor.defined()) return false;
  if (!is_plain(tensor) || tensor.is_complex()) return true;
  if (use_ == TensorUse::transformed_gradients || tensor.is_non_overlapping_and_dense()) return false;
  // What is read may have gaps, but no two elements in one place; what an optimizer writes has neither, and
  // is refused by the step in the second case.
  return use_ == TensorUse::optimizers_parameters ? !overlaps(tensor) : overlaps(tensor);
}

Result<std::span<const at::Tensor>> PlainTensors::take(std::span<const at::Tensor> tensors,
                                                       const ParameterSet& names, std::size_t first) {
  return take_where([](std::size_t) { return true; }, tensors, names, first);
}

Result<std::span<const at::Tensor>> PlainTensors::take_present(std::span<const at::Tensor> parameters,
                                                               std::span<const at::Tensor> gradients,
                                                               const ParameterSet& names) {
  const auto has_gradient = [&](std::size_t i) { return i < gradients.size() && gradients[i].defined(); };
  return take_where(has_gradient, parameters, names, 0);
}

template <class Wanted>
Result<std::span<const at::Tensor>> PlainTensors::take_where(Wanted wanted,
                                                             std::span<const at::Tensor> tensors,
                                                             const ParameterSet& names, std::size_t first) {
  clear();
  taken_ = tensors;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!replaces(tensors[i]) || !wanted(i)) continue;
    if (plain_.empty()) {
      plain_.assign(tensors.begin(), tensors.end());
      copies_.assign(tensors.size(), {});
      taken_ = plain_;
    }
    const std::size_t index = first + i;
    const c10::NoGradGuard no_grad;
    auto plain = make_plain(i, tensors[i], index < names.size() ? names[index].name : std::string());
    if (!plain) {
      clear();
      return plain.status();
    }
    plain_[i] = std::move(*plain);
  }
  return taken_;
}

Result<at::Tensor> PlainTensors::make_plain(std::size_t index, const at::Tensor& tensor,
                                            const std::string& name) {
  static const std::uint64_t plain_or_lazy =
      plain_bits() | bits_of(c10::DispatchKeySet({Key::Negative, Key::Conjugate, Key::ZeroTensor}));
  static const std::uint64_t plain_or_sparse = plain_bits() | bits_of(c10::DispatchKeySet(Key::Sparse));
  const bool sparse = is_at_most(tensor, plain_or_sparse) && tensor.layout() == at::kSparse;
  if (sparse && use_ == TensorUse::transformed_gradients) return tensor;  // its values are transformed
  if (sparse && use_ == TensorUse::optimizers_gradients) {
    if (dense_gradients_) return in_registered_shape(tensor.detach().to_dense());
    return refuse(name,
                  "is sparse, and SGD is the only fused optimizer that accepts sparse gradients; put the "
                  "transform in front of an "
                  "optimizer for sparse gradients (in Python gs.wrap(torch.optim.SparseAdam(...))), or make "
                  "gradients dense (sparse=False)");
  }
  if (!is_at_most(tensor, plain_or_lazy) || tensor.is_meta() || tensor.layout() != at::kStrided)
    return refuse(name, why_not_plain(tensor));
  if (is_zero_tensor(tensor)) {
    if (use_ == TensorUse::optimizers_parameters) return refuse(name, why_not_plain(tensor));
    // Zeros stay zeros whatever is done to them, and cannot be written.
    return in_registered_shape(at::zeros(tensor.sizes(), tensor.options()));
  }
  at::Tensor plain = tensor.detach();
  if (tensor.is_neg() || tensor.is_conj()) {
    plain = plain.resolve_neg().resolve_conj();
    if (writes()) copies_[index] = plain;
  }
  if (use_ != TensorUse::transformed_gradients) plain = without_gaps(index, std::move(plain));
  return in_registered_shape(plain);
}

at::Tensor PlainTensors::without_gaps(std::size_t index, at::Tensor tensor) {
  if (tensor.is_non_overlapping_and_dense()) return tensor;
  if (overlaps(tensor)) return writes() ? tensor : tensor.contiguous();
  if (use_ != TensorUse::optimizers_parameters) return tensor;
  copies_[index] = at::empty_like(tensor, tensor.options(), at::MemoryFormat::Preserve);
  copies_[index].copy_(tensor);
  return copies_[index];
}

void PlainTensors::return_to(std::span<const at::Tensor> tensors) const {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    if (copies_[i].defined()) tensors[i].detach().copy_(copies_[i]);
  }
}

void PlainTensors::clear() noexcept {
  taken_ = {};
  plain_.clear();
  copies_.clear();
}

const at::Tensor& writable_gradient_of(at::Tensor& parameter) {
  const at::Tensor& gradient = parameter.grad();
  if (!gradient.defined() || has(gradient, Key::Python)) return gradient;
  if (is_plain(gradient) && gradient.is_non_overlapping_and_dense()) return gradient;
  const c10::NoGradGuard no_grad;
  if (gradient.layout() == at::kSparse) {
    if (!gradient.is_coalesced()) parameter.mutable_grad() = gradient.coalesce();
  } else if (is_zero_tensor(gradient)) {
    parameter.mutable_grad() = at::zeros(gradient.sizes(), gradient.options());
  } else if (is_plain(gradient) && overlaps(gradient)) {
    parameter.mutable_grad() = gradient.contiguous();
  }
  return gradient;
}

}  // namespace gradstab
