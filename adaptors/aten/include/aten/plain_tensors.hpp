// Tensors whose memory does not hold what they are, as tensors whose memory does.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// Whether the memory of a tensor holds its elements, each at its stride, so that a TensorRef can point to
/// it: not where LibTorch keeps a sign or a conjugation for later (`is_neg`, `is_conj`), where it keeps no
/// memory (ZeroTensor, meta), or where the memory is arranged otherwise (sparse, nested, quantized, mkldnn)
/// or known only to others (subclasses in Python, torch.func).
bool is_plain(const at::Tensor& tensor) noexcept;

/// Of a tensor that is not plain: what it is, and what to do about it; as the end of a sentence.
std::string why_not_plain(const at::Tensor& tensor);

/// The shape that a tensor is registered in: its own, and of complex numbers that of their pairs of real
/// numbers, [..., 2], with a leading 1 where there is a single dimension, which has no rows.
std::vector<std::int64_t> registered_shape(at::IntArrayRef sizes, bool is_complex);

/// The same of a tensor. Errors: a nested one, which has no shape.
Result<std::vector<std::int64_t>> registered_shape(const at::Tensor& tensor, const std::string& name);

/// Whether that is its registered shape.
bool has_shape(const at::Tensor& tensor, const std::vector<std::int64_t>& shape);

/// The tensor in its registered shape: of complex numbers a view as real ones, which needs a tensor that is
/// not lazily conjugated.
at::Tensor in_registered_shape(const at::Tensor& tensor);

/// Numbers of a parameter, one for each of its own, in the order in which the library has them: that in which
/// the parameter's elements lie in memory.
std::vector<double> in_memory_order(const at::Tensor& values, const at::Tensor& parameter);
/// The way back: float64 in host memory and in the shape of the parameter; of a complex one complex.
at::Tensor from_memory_order(const std::vector<double>& values, const at::Tensor& parameter);

/// Adds to `fresh` the positions whose name stays and whose shape does not.
void add_reshaped(const ParameterSet& before, const ParameterSet& now, std::vector<std::size_t>& fresh);

/// What the tensors of a step are used for.
enum class TensorUse : std::uint8_t {
  transformed_gradients,  ///< read and written
  optimizers_gradients,   ///< read
  optimizers_parameters,  ///< read and written, and without gaps in memory
  compared_parameters,    ///< read
};

/// The tensors of a step as plain ones, real and in their registered shape. Where a tensor is something else,
/// a copy takes its place, and is written back where the tensor's use asks for that.
class PlainTensors {
 public:
  /// `dense_gradients`: sparse gradients of an optimizer are made dense; otherwise they are an error.
  explicit PlainTensors(TensorUse use, bool dense_gradients = false)
      : use_(use), dense_gradients_(dense_gradients) {}

  /// The tensors themselves where they are all plain, which costs a look at each; otherwise this object's,
  /// valid until the next call. An undefined tensor remains one. `names` has the names, from `first` on.
  /// Errors name the tensor, say what it is and what to do.
  Result<std::span<const at::Tensor>> take(std::span<const at::Tensor> tensors, const ParameterSet& names,
                                           std::size_t first = 0);

  /// The same of parameters; nothing is asked of those that have no gradient.
  Result<std::span<const at::Tensor>> take_present(std::span<const at::Tensor> parameters,
                                                   std::span<const at::Tensor> gradients,
                                                   const ParameterSet& names);

  /// Whether `take` puts something else in its place.
  bool replaces(const at::Tensor& tensor) const;

  /// What `take` returned last.
  std::span<const at::Tensor> taken() const noexcept { return taken_; }

  /// Writes back what became of the copies of `take`.
  void return_to(std::span<const at::Tensor> tensors) const;

  /// Lets go of the tensors.
  void clear() noexcept;

 private:
  template <class Wanted>
  Result<std::span<const at::Tensor>> take_where(Wanted wanted, std::span<const at::Tensor> tensors,
                                                 const ParameterSet& names, std::size_t first);
  Result<at::Tensor> make_plain(std::size_t index, const at::Tensor& tensor, const std::string& name);
  at::Tensor without_gaps(std::size_t index, at::Tensor tensor);
  bool writes() const noexcept {
    return use_ == TensorUse::transformed_gradients || use_ == TensorUse::optimizers_parameters;
  }
  Status refuse(const std::string& name, const std::string& what) const;

  TensorUse use_;
  bool dense_gradients_;
  std::span<const at::Tensor> taken_;
  std::vector<at::Tensor> plain_;
  std::vector<at::Tensor>
      copies_;  // what is written back, in the dtype of the tensor; undefined where nothing is
};

/// The gradient of a parameter, for transforms that write it. One that cannot be written in place is first
/// replaced by one that can: a sparse one by its coalesced form, because values of the same element add up
/// before their norm means anything; one whose elements share memory, or that has none (ZeroTensor), by a
/// copy.
const at::Tensor& writable_gradient_of(at::Tensor& parameter);

}  // namespace gradstab
