// Torch tensors and torch's threads as the library sees them. All that an adaptor needs which neither wraps
// LibTorch's optimizers nor wants their headers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>
#include <memory>
#include <string>

#include "gradstab/backend.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// Runs the library's tasks on LibTorch's own threads (at::set_num_threads), so that no second pool competes
/// for cores.
std::shared_ptr<Executor> torch_executor();

/// The dtype of a tensor's numbers, of complex ones that of their parts. Errors: dtypes that the library does
/// not have; `name` goes into the message.
Result<DType> dtype_of(const at::Tensor& tensor, const std::string& name);

/// A tensor of the caller's as the library sees it. The result points into `tensor` and its size and stride
/// arrays. Of a sparse COO tensor it refers to the values. Errors: what is not plain (`is_plain`), which
/// PlainTensors makes plain where that is possible; sparse tensors that are not coalesced; complex and
/// integer dtypes; memory that was freed. `name` goes into the message.
Result<TensorRef> tensor_ref(const at::Tensor& tensor, const std::string& name);

/// A gradient as it was at one time, by identity and version.
class GradientMark {
 public:
  explicit GradientMark(const at::Tensor& gradient);

  /// Whether this is that gradient and, as far as autograd knows, nobody has written to it since.
  bool is(const at::Tensor& gradient) const;

 private:
  // Weak, so that the gradient can go; its address is not used again as long as this is here.
  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> tensor_;
  std::int64_t version_;
};

}  // namespace gradstab
