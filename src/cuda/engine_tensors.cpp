// DeviceEngine: the tensors of a step, checked, and where they are told to the device.
#include <algorithm>
#include <utility>

#include "core/base/layout.hpp"
#include "core/base/text.hpp"
#include "cuda/engine.hpp"

namespace gradstab::device {
namespace {

Status refuse(std::string_view what, const std::string& name, const auto&... why) {
  return {StatusCode::unsupported, detail::concat(what, " '", name, "' ", why...)};
}

/// Errors: gaps or overlaps in memory.
Status check_dense(const TensorRef& tensor, const std::string& name, std::string_view what) {
  if (is_row_major(tensor)) return {};
  const auto layout = make_layout(tensor, name, what);
  if (!layout) return layout.status();
  if (layout->dense()) return {};
  return refuse(what, name, "has gaps in memory, which is not possible on a device; pass a contiguous copy");
}

Status check_shape(const TensorRef& tensor, const Parameter& registered, std::string_view what) {
  if (std::ranges::equal(tensor.sizes, registered.sizes)) return {};
  return {StatusCode::shape_mismatch, detail::concat(what, " '", registered.name, "' has shape ",
                                                     shape_text({tensor.sizes.begin(), tensor.sizes.end()}),
                                                     ", expected ", shape_text(registered.sizes))};
}

/// Of two dense tensors of one shape.
bool same_order(const TensorRef& a, const TensorRef& b) {
  if (is_row_major(a) && is_row_major(b)) return true;
  if (a.strides.size() != a.sizes.size() || b.strides.size() != b.sizes.size()) return false;
  for (std::size_t d = 0; d < a.sizes.size(); ++d) {
    if (a.sizes[d] != 1 && a.strides[d] != b.strides[d]) return false;
  }
  return true;
}

}  // namespace

Status DeviceEngine::check_gradient(std::size_t index, const TensorRef& gradient) const {
  const Parameter& registered = (*parameters_)[index];
  constexpr std::string_view kWhat = "gradient of";
  if (gradient.device != DeviceType::cuda) {
    return refuse(kWhat, registered.name, "is on the CPU, expected memory of the CUDA device");
  }
  if (gradient.sparse_values)
    return refuse(kWhat, registered.name, "is sparse, which is not supported on a device");
  if (gradient.dtype == DType::float64) {
    return refuse(kWhat, registered.name, "is float64, expected float32, float16 or bfloat16 on a device");
  }
  GRADSTAB_RETURN_IF_ERROR(check_shape(gradient, registered, kWhat));
  return check_dense(gradient, registered.name, kWhat);
}

Status DeviceEngine::check_parameter(std::size_t index, const TensorRef& parameter,
                                     const TensorRef& gradient) const {
  const Parameter& registered = (*parameters_)[index];
  constexpr std::string_view kWhat = "parameter";
  if (parameter.data == nullptr) {
    return {StatusCode::invalid_argument,
            detail::concat("parameter '", registered.name, "' has a gradient but no data")};
  }
  if (parameter.device != DeviceType::cuda) {
    return refuse(kWhat, registered.name, "is on the CPU, expected memory of the CUDA device");
  }
  if (parameter.dtype != DType::float32 && parameter.dtype != DType::bfloat16) {
    return refuse(kWhat, registered.name, "has dtype ", to_string(parameter.dtype),
                  ", expected float32 or bfloat16 on a device");
  }
  GRADSTAB_RETURN_IF_ERROR(check_shape(parameter, registered, kWhat));
  GRADSTAB_RETURN_IF_ERROR(check_dense(parameter, registered.name, kWhat));
  if (!same_order(parameter, gradient)) {
    return refuse(kWhat, registered.name,
                  "and its gradient have their elements in different orders; make both contiguous");
  }
  if (rules_[index].units > 1 && !is_row_major(parameter)) {
    return refuse(kWhat, registered.name, "is not contiguous, but is divided into ", rules_[index].units,
                  " units");
  }
  const ParameterStorage storage = storage_of(parameter.dtype, low_precision_);
  if (storages_[index] && *storages_[index] != storage) {
    return refuse(kWhat, registered.name, "is ", describe(storage), ", but its state is of ",
                  describe(*storages_[index]));
  }
  return {};
}

/// Two threads would write to the same memory at once.
Status DeviceEngine::refuse_shared_memory(std::string_view what, bool parameters) {
  for (std::size_t t = 0; t < count(); ++t) {
    const TensorAddress& address = addresses_[t];
    const void* data = parameters ? address.parameter : address.gradient;
    const std::size_t bytes =
        parameters ? (wanted_[t] == ParameterStorage::float32 ? 4 : 2) : bytes_of(address.gradient_dtype);
    memory_.set(t, data, elements(t) * bytes, elements(t) == 0);
  }
  const auto shared = memory_.find();
  if (!shared) return {};
  return {StatusCode::unsupported,
          detail::concat(what, " '", (*parameters_)[shared->first].name, "' and '",
                         (*parameters_)[shared->second].name, "' share memory; register them once")};
}

std::size_t DeviceEngine::elements(std::size_t index) const noexcept {
  return static_cast<std::size_t>(element_count((*parameters_)[index].sizes));
}

Status DeviceEngine::prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                             Stream stream) {
  if (gradients.size() != count()) {
    return {StatusCode::shape_mismatch,
            detail::concat("got ", gradients.size(), " gradients for ", count(), " registered parameters")};
  }
  if (tables_.optimizes && parameters.size() != count()) {
    return {StatusCode::shape_mismatch,
            detail::concat("got ", parameters.size(), " parameters for ", count(), " registered ones")};
  }
  for (std::size_t t = 0; t < count(); ++t) {
    addresses_[t] = {};
    wanted_[t].reset();
    if (gradients[t].data == nullptr) continue;
    GRADSTAB_RETURN_IF_ERROR(check_gradient(t, gradients[t]));
    addresses_[t].gradient = gradients[t].data;
    addresses_[t].gradient_dtype = gradients[t].dtype;
    if (!tables_.optimizes) continue;
    GRADSTAB_RETURN_IF_ERROR(check_parameter(t, parameters[t], gradients[t]));
    addresses_[t].parameter = parameters[t].data;
    wanted_[t] = storage_of(parameters[t].dtype, low_precision_);
  }
  if (!addresses_known_ || addresses_ != sent_addresses_) {
    GRADSTAB_RETURN_IF_ERROR(refuse_shared_memory("gradients of", false));
    if (tables_.optimizes) GRADSTAB_RETURN_IF_ERROR(refuse_shared_memory("parameters", true));
  }
  GRADSTAB_RETURN_IF_ERROR(allocate_states(stream));
  return send_addresses(stream);
}

/// State of the parameters that want some and have none, in one piece of memory.
Status DeviceEngine::allocate_states(Stream stream) {
  if (!tables_.optimizes) return {};
  const auto is_new = [&](std::size_t t) { return wanted_[t] && !storages_[t]; };
  Arena arena;
  std::vector<std::size_t> offsets;
  std::size_t first_new = count();
  for (std::size_t t = 0; t < count(); ++t) {
    if (!is_new(t)) continue;
    first_new = std::min(first_new, t);
    for (std::size_t k = 0; k < state_count(rules_[t].rule); ++k)
      offsets.push_back(arena.add<float>(elements(t)));
    if (wanted_[t] == ParameterStorage::bfloat16_master) offsets.push_back(arena.add<float>(elements(t)));
  }
  if (first_new == count()) return {};
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (*capturing) {
    return {
        StatusCode::failed_precondition,
        detail::concat("parameter '", (*parameters_)[first_new].name,
                       "' has no state yet, and none can be allocated while the stream is being captured; "
                       "call prepare before the capture")};
  }
  auto memory = Memory::allocate(device_, arena.bytes());
  if (!memory) return memory.status();
  state_memory_.push_back(std::move(*memory));
  std::size_t placed = 0;
  const auto next_array = [&] {
    return reinterpret_cast<float*>(state_memory_.back().data() + offsets[placed++]);
  };
  for (std::size_t t = 0; t < count(); ++t) {
    if (!is_new(t)) continue;
    for (std::size_t k = 0; k < state_count(rules_[t].rule); ++k) states_[t].states[k] = next_array();
    if (wanted_[t] == ParameterStorage::bfloat16_master) states_[t].master = next_array();
    states_[t].storage = *wanted_[t];
    storages_[t] = wanted_[t];
  }
  return state_upload_.upload(states_.data(), stream);
}

Status DeviceEngine::send_addresses(Stream stream) {
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (!*capturing && addresses_known_ && addresses_ == sent_addresses_) return {};
  GRADSTAB_RETURN_IF_ERROR(address_upload_.upload(addresses_.data(), stream));
  sent_addresses_ = addresses_;
  // Every replay of a graph sends the addresses that it was captured with; nobody says when.
  addresses_known_ = !*capturing && !address_upload_.is_in_a_graph();
  return {};
}

}  // namespace gradstab::device
