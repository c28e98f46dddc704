// Where the tensors of a step are, and so where it is made.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gradstab/cuda.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// Where a step is made.
enum class Place : std::uint8_t {
  host,    ///< in host memory, where the tensors are
  device,  ///< on the CUDA device where the tensors are, which nobody waits for
  copies,  ///< on the host, on copies of tensors that are elsewhere
};

struct Whereabouts {
  Place place = Place::host;
  at::Device device = at::kCPU;  ///< of the place `device`
  std::string why;               ///< of the place `copies`: what keeps the step from the device
};

/// Chooses a place. Tensors in host memory stay there. Those of one CUDA device are stepped on it where it
/// has what the step needs; all others are copied to the host and back, in every step.
class Places {
 public:
  /// Removes the words from `options.backend` that are no backend of the host: "cuda" refuses what would be
  /// copied, "emulated" treats host memory as that of a device whose code runs on the host, for tests.
  explicit Places(RunOptions& options);

  /// For the gradients of a step; an undefined one is absent. With `parameters`, for an optimizer, which
  /// writes them: those that have a gradient. Nothing changes where there is no gradient at all. Errors:
  /// under "cuda", what keeps the step from the device.
  Result<Whereabouts> find(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters,
                           const Whereabouts& now) const;

  /// The place if a device refuses for this reason. Errors: under "cuda", the reason.
  Result<Whereabouts> without_device(const Status& refusal) const;

  /// Tells whoever listens to LibTorch's warnings, once in a process, that steps are slower than they could
  /// be.
  void warn_of_copies(const Whereabouts& where, const std::string& method) const;

  bool emulates() const noexcept { return emulates_; }

  cuda::DeviceOptions device_options(const at::Device& device) const;

  /// The stream of the calling thread. Errors: a stream whose handle this LibTorch does not tell.
  Result<cuda::Stream> stream(const at::Device& device) const;

  /// Until that stream has nothing left to do, or is gone.
  void wait(const at::Device& device) const noexcept;

 private:
  bool strict_ = false;
  bool emulates_ = false;
};

/// Tensors and their copies in host memory, which are kept from step to step.
class HostCopies {
 public:
  explicit HostCopies(bool also_of_host_memory) : always_(also_of_host_memory) {}

  /// The tensor itself where it is in host memory.
  const at::Tensor& fetch(std::size_t index, const at::Tensor& tensor);
  /// Writes what became of the copy back.
  void return_to(std::size_t index, const at::Tensor& tensor) const;

 private:
  bool always_;
  std::vector<at::Tensor> copies_;
};

/// Gradients as a device accepts them: contiguous, and in the order of the parameter's elements where one is
/// given. Others are copied on their device.
class DenseGradients {
 public:
  void clear(std::size_t count);
  const at::Tensor& add(std::size_t index, const at::Tensor& gradient, const at::Tensor& parameter = {});
  /// Writes what became of copies back.
  void return_to(std::span<const at::Tensor> gradients) const;

 private:
  std::vector<at::Tensor> used_;
};

/// A float64 tensor [count] that is this memory, on the device where it is.
at::Tensor view_of_squares(double* squared_norms, std::size_t count, const at::Device& device);

/// `tensor_ref`, said to be on a device. None for an undefined tensor.
Result<TensorRef> device_ref(const at::Tensor& tensor, const std::string& name);

}  // namespace gradstab
