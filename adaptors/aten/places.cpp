#include "aten/places.hpp"

#include <ATen/ATen.h>
#include <ATen/MemoryOverlap.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <optional>

#include "aten/tensor.hpp"

namespace gradstab {
namespace {

constexpr const char* kDevice = "cuda";
constexpr const char* kEmulated = "emulated";

/// What keeps one tensor from the device; empty if nothing does.
std::string unfit_gradient(const at::Tensor& gradient) {
  if (gradient.layout() != at::kStrided) return "a gradient is sparse";
  if (gradient.scalar_type() == at::kDouble) return "a gradient is float64";
  return {};
}

std::string unfit_parameter(const at::Tensor& parameter) {
  const auto dtype = parameter.scalar_type();
  if (dtype == at::kFloat || dtype == at::kBFloat16) return {};
  return std::string("a parameter is ") + c10::toString(dtype) + ", not float32 or bfloat16";
}

/// What most steps are, so that those of thousands of small tensors do not have to look further.
bool are_all_in_host_memory(std::span<const at::Tensor> gradients, std::span<const at::Tensor> parameters) {
  bool any = false;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    any = true;
    if (!gradients[i].is_cpu() || (!parameters.empty() && !parameters[i].is_cpu())) return false;
  }
  return any;
}

/// What c10::cuda::CUDAStream::stream() says, found by name, so that nothing is linked with CUDA: a
/// CUDAStream is a c10::Stream and nothing more. Nothing where LibTorch's part for CUDA is not loaded.
[[maybe_unused]] std::optional<void*> handle_by_name(const c10::Stream& stream) {
  using Tell = void* (*)(const c10::Stream*);
  static const auto tell = [] {
    void* library = dlopen("libc10_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr ? nullptr
                              : reinterpret_cast<Tell>(dlsym(library, "_ZNK3c104cuda10CUDAStream6streamEv"));
  }();
  if (tell == nullptr) return std::nullopt;
  return tell(&stream);
}

/// Since 2026 c10::Stream tells its handle itself.
template <class Stream>
std::optional<void*> handle_of(const Stream& stream) {
  if constexpr (requires { stream.native_handle(); }) {
    return stream.native_handle();
  } else if (stream.id() == 0) {
    return nullptr;  // the default stream
  } else {
    return handle_by_name(stream);
  }
}

}  // namespace

Places::Places(RunOptions& options) {
  strict_ = options.backend == kDevice;
  emulates_ = options.backend == kEmulated;
  if (strict_ || emulates_) options.backend.clear();
}

Result<Whereabouts> Places::find(std::span<const at::Tensor> gradients,
                                 std::span<const at::Tensor> parameters, const Whereabouts& now) const {
  if (!emulates_ && !strict_ && are_all_in_host_memory(gradients, parameters)) return Whereabouts{};
  std::optional<at::Device> common;
  bool several = false;
  std::string unfit;
  const auto look = [&](const at::Tensor& tensor) {
    if (!common) common = tensor.device();
    several = several || *common != tensor.device();
  };
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    look(gradients[i]);
    if (unfit.empty()) unfit = unfit_gradient(gradients[i]);
    if (parameters.empty()) continue;
    look(parameters[i]);
    if (unfit.empty()) unfit = unfit_parameter(parameters[i]);
  }
  if (!common) return now;
  if (common->is_cpu() && !several && !emulates_) {
    if (!strict_) return Whereabouts{};
    return Status(StatusCode::unsupported,
                  std::string("the tensors are in host memory, but backend is '") + kDevice + "'");
  }
  if (several) unfit = "the tensors are on several devices";
  if (unfit.empty() && !emulates_ && !common->is_cuda()) unfit = "the tensors are on " + common->str();
  if (unfit.empty()) return Whereabouts{Place::device, *common, {}};
  if (!strict_) return Whereabouts{Place::copies, at::kCPU, std::move(unfit)};
  return Status(StatusCode::unsupported, unfit + ", which backend '" + kDevice + "' does not support");
}

Result<Whereabouts> Places::without_device(const Status& refusal) const {
  if (strict_) return refusal;
  return Whereabouts{Place::copies, at::kCPU, refusal.message()};
}

void Places::warn_of_copies(const Whereabouts& where, const std::string& method) const {
  if (where.place != Place::copies || emulates_) return;
  TORCH_WARN_ONCE("gradstab: ", method, " works on copies in host memory, made in every step: ", where.why);
}

cuda::DeviceOptions Places::device_options(const at::Device& device) const {
  cuda::DeviceOptions options;
  options.device = device.has_index() ? device.index() : -1;
  options.emulate = emulates_;
  return options;
}

Result<cuda::Stream> Places::stream(const at::Device& device) const {
  if (emulates_) return cuda::Stream{nullptr};
  const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  const auto handle = handle_of(stream);
  if (handle) return *handle;
  return Status(StatusCode::unsupported,
                "LibTorch does not tell the handle of the current stream; step in the default stream");
}

void Places::wait(const at::Device& device) const noexcept {
  if (emulates_) return;
  try {
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.synchronizeStream(guard.getStream(device));
  } catch (const std::exception&) {
    // At the end of the process the driver may have gone before this object.
    return;
  }
}

const at::Tensor& HostCopies::fetch(std::size_t index, const at::Tensor& tensor) {
  if (tensor.device().is_cpu() && !always_) return tensor;
  if (copies_.size() <= index) copies_.resize(index + 1);
  at::Tensor& copy = copies_[index];
  if (tensor.layout() != at::kStrided) {
    copy = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true).coalesce();
    return copy;
  }
  // In the same order in memory, so that sums are those of the tensor itself.
  const bool fits = copy.defined() && copy.layout() == at::kStrided && copy.sizes() == tensor.sizes() &&
                    copy.strides() == tensor.strides() && copy.scalar_type() == tensor.scalar_type();
  if (!fits) {
    // Pinned memory is copied to and from a CUDA device about twice as fast.
    const auto options =
        tensor.options().device(at::kCPU).pinned_memory(tensor.is_cuda()).requires_grad(false);
    copy = at::empty_like(tensor, options, at::MemoryFormat::Preserve);
  }
  const c10::NoGradGuard no_grad;
  copy.copy_(tensor);
  return copy;
}

void HostCopies::return_to(std::size_t index, const at::Tensor& tensor) const {
  if (tensor.device().is_cpu() && !always_) return;
  const c10::NoGradGuard no_grad;
  if (tensor.layout() != at::kStrided) {
    tensor._values().copy_(copies_[index]._values());
  } else {
    tensor.detach().copy_(copies_[index]);
  }
}

void DenseGradients::clear(std::size_t count) {
  used_.assign(count, {});
}

const at::Tensor& DenseGradients::add(std::size_t index, const at::Tensor& gradient,
                                      const at::Tensor& parameter) {
  const bool dense = gradient.is_non_overlapping_and_dense();
  const bool ordered = !parameter.defined() || gradient.strides() == parameter.strides();
  // One that overlaps itself cannot be written; it is refused as on the host.
  const bool possible = at::has_internal_overlap(gradient) != at::MemOverlap::Yes &&
                        (!parameter.defined() || parameter.sizes() == gradient.sizes());
  if ((dense && ordered) || !possible) return gradient;
  const c10::NoGradGuard no_grad;
  used_[index] = at::empty_like(parameter.defined() ? parameter : gradient,
                                gradient.options().requires_grad(false), at::MemoryFormat::Preserve);
  used_[index].copy_(gradient);
  return used_[index];
}

void DenseGradients::return_to(std::span<const at::Tensor> gradients) const {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (used_[i].defined()) gradients[i].detach().copy_(used_[i]);
  }
}

at::Tensor view_of_squares(double* squared_norms, std::size_t count, const at::Device& device) {
  return at::for_blob(squared_norms, {static_cast<std::int64_t>(count)})
      .options(at::TensorOptions(at::kDouble).device(device))
      .target_device(device)
      .make_tensor();
}

Result<TensorRef> device_ref(const at::Tensor& tensor, const std::string& name) {
  if (!tensor.defined()) return TensorRef{};
  auto result = tensor_ref(tensor, name);
  if (result) result->device = DeviceType::cuda;
  return result;
}

}  // namespace gradstab
