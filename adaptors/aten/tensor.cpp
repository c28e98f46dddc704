#include "aten/tensor.hpp"

#include <ATen/Parallel.h>
#include <ATen/SparseTensorImpl.h>

#include <cstddef>
#include <cstdint>

#include "aten/plain_tensors.hpp"

namespace gradstab {
namespace {

class TorchExecutor final : public Executor {
 public:
  unsigned concurrency() const noexcept override { return static_cast<unsigned>(at::get_num_threads()); }
  void run(std::size_t count, Task task, void* context) noexcept override {
    at::parallel_for(0, static_cast<std::int64_t>(count), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) task(context, static_cast<std::size_t>(i));
    });
  }
};

Status unsupported(const std::string& name, const std::string& what) {
  return {StatusCode::unsupported, "gradient of '" + name + "' " + what};
}

}  // namespace

std::shared_ptr<Executor> torch_executor() {
  return std::make_shared<TorchExecutor>();
}

Result<DType> dtype_of(const at::Tensor& tensor, const std::string& name) {
  switch (c10::toRealValueType(tensor.scalar_type())) {
    case at::kFloat:
      return DType::float32;
    case at::kDouble:
      return DType::float64;
    case at::kHalf:
      return DType::float16;
    case at::kBFloat16:
      return DType::bfloat16;
    default:
      return unsupported(name, std::string("has dtype ") + c10::toString(tensor.scalar_type()) +
                                   ", expected float32, float64, float16 or bfloat16");
  }
}

Result<TensorRef> tensor_ref(const at::Tensor& tensor, const std::string& name) {
  if (tensor.layout() == at::kSparse && !tensor.key_set().has(c10::DispatchKey::Python)) {
    if (!tensor.is_coalesced()) return unsupported(name, "is sparse and not coalesced; coalesce it first");
    // Not _values(), which may be an alias whose sizes go with it.
    const auto* sparse = static_cast<const at::SparseTensorImpl*>(tensor.unsafeGetTensorImpl());
    auto values = tensor_ref(sparse->values(), name);
    if (values) values->sparse_values = true;
    return values;
  }
  if (!is_plain(tensor)) return unsupported(name, why_not_plain(tensor));
  if (tensor.is_complex()) return unsupported(name, "is complex, expected its pairs of real numbers");
  TensorRef result;
  const auto dtype = dtype_of(tensor, name);
  if (!dtype) return dtype.status();
  result.dtype = *dtype;
  if (!tensor.device().is_cpu() && !tensor.device().is_cuda()) {
    return unsupported(name, "is on device " + tensor.device().str() + ", expected cpu or cuda");
  }
  result.device = tensor.device().is_cpu() ? DeviceType::cpu : DeviceType::cuda;
  result.data = tensor.data_ptr();
  result.sizes = {tensor.sizes().data(), tensor.sizes().size()};
  result.strides = {tensor.strides().data(), tensor.strides().size()};
  if (result.data == nullptr && tensor.numel() > 0) {
    return unsupported(name, "has no memory: its storage was freed, as sharding does between uses");
  }
  // An empty tensor may have no memory; it must still not read as "no gradient".
  static std::byte empty;
  if (result.data == nullptr) result.data = &empty;
  return result;
}

GradientMark::GradientMark(const at::Tensor& gradient)
    : tensor_(gradient.getIntrusivePtr()),
      version_(gradient.defined() && !gradient.is_inference() ? gradient._version() : 0) {}

bool GradientMark::is(const at::Tensor& gradient) const {
  return gradient.defined() && !gradient.is_inference() &&
         gradient.unsafeGetTensorImpl() == tensor_._unsafe_get_target() && gradient._version() == version_;
}

}  // namespace gradstab
