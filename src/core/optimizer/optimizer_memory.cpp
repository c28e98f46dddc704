#include "core/optimizer/optimizer_memory.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "core/base/layout.hpp"
#include "core/base/text.hpp"

namespace gradstab {

void allocate(ParameterMemory& memory, const ParameterRule& rule, ParameterStorage storage, std::size_t count,
              const void* parameter) {
  ParameterMemory fresh;
  fresh.storage = storage;
  for (std::size_t k = 0; k < state_count(rule.rule); ++k)
    fresh.states[k] = ZeroedArray(count * fresh.element_bytes());
  if (storage == ParameterStorage::bfloat16_master) {
    fresh.master = ZeroedArray(count * sizeof(float));
    auto* master = reinterpret_cast<float*>(fresh.master.data());
    const auto* low = static_cast<const BFloat16*>(parameter);
    for (std::size_t i = 0; low != nullptr && i < count; ++i) master[i] = to_float(low[i]);
  }
  if (rule.unit_moments) fresh.unit_second.assign(rule.units, 0.0);
  memory = std::move(fresh);
}

ParameterStorage storage_of(DType dtype, LowPrecision low_precision) noexcept {
  if (dtype == DType::float32) return ParameterStorage::float32;
  if (dtype == DType::float64) return ParameterStorage::float64;
  return low_precision == LowPrecision::master_copy ? ParameterStorage::bfloat16_master
                                                    : ParameterStorage::bfloat16_stochastic;
}

std::string_view describe(ParameterStorage storage) noexcept {
#define GRADSTAB_WORDS_OF(name, words) words,
  constexpr std::string_view kWords[] = {GRADSTAB_PARAMETER_STORAGES(GRADSTAB_WORDS_OF)};
#undef GRADSTAB_WORDS_OF
  return kWords[static_cast<std::size_t>(storage)];
}

Result<UpdateTarget> update_target(const Parameter& registered, const TensorRef& parameter,
                                   const TensorRef& gradient, std::size_t pieces) {
  const auto refuse = [&](StatusCode code, const auto&... what) {
    return Status(code, detail::concat("parameter '", registered.name, "' ", what...));
  };
  if (parameter.data == nullptr) return refuse(StatusCode::invalid_argument, "has a gradient but no data");
  if (!std::ranges::equal(parameter.sizes, registered.sizes)) {
    return refuse(StatusCode::shape_mismatch, "has shape ",
                  shape_text({parameter.sizes.begin(), parameter.sizes.end()}), ", expected ",
                  shape_text(registered.sizes));
  }
  if (parameter.device != DeviceType::cpu) return refuse(StatusCode::unsupported, "is on a CUDA device");
  if (parameter.dtype != DType::float32 && parameter.dtype != DType::float64 &&
      parameter.dtype != DType::bfloat16) {
    return refuse(StatusCode::unsupported, "has dtype ", to_string(parameter.dtype),
                  ", expected float32, float64 or bfloat16");
  }
  if ((parameter.dtype == DType::float64) != (gradient.dtype == DType::float64)) {
    return refuse(StatusCode::unsupported, "is ", to_string(parameter.dtype), " but its gradient is ",
                  to_string(gradient.dtype), "; float64 goes with float64 only");
  }
  if (gradient.sparse_values) {
    return refuse(StatusCode::unsupported, "has a sparse gradient, which fused optimizers do not accept");
  }
  UpdateTarget target;
  target.parameter = static_cast<std::byte*>(parameter.data);
  target.parameter_bytes = size_of(parameter.dtype);
  const bool row_major = is_row_major(parameter);
  if (!row_major) {
    const auto layout = make_layout(parameter, registered.name, "parameter");
    if (!layout) return layout.status();
    if (!layout->dense()) return refuse(StatusCode::unsupported, "has gaps in memory; it must be dense");
    if (pieces > 1) {
      return refuse(StatusCode::unsupported, "is not contiguous, but is divided into ", pieces, " units");
    }
  }
  target.same_order = row_major && is_row_major(gradient);
  if (target.same_order) return target;

  const std::size_t rank = registered.sizes.size();
  if (rank > std::size(target.sizes)) return refuse(StatusCode::unsupported, "has more than 16 dimensions");
  std::array<std::int64_t, 16> own{};
  std::array<std::int64_t, 16> its{};
  const auto strides_of = [&](const TensorRef& tensor, std::array<std::int64_t, 16>& strides) {
    std::int64_t row_major_stride = 1;
    for (std::size_t d = rank; d-- > 0;) {
      strides[d] = tensor.strides.empty() ? row_major_stride : tensor.strides[d];
      row_major_stride *= tensor.sizes[d];
    }
  };
  strides_of(parameter, own);
  strides_of(gradient, its);
  std::array<std::size_t, 16> order{};
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(rank),
            [&](std::size_t a, std::size_t b) { return own[a] > own[b]; });
  target.same_order = true;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t d = order[i];
    if (registered.sizes[d] == 1) continue;
    target.same_order = target.same_order && own[d] == its[d];
    target.sizes[target.rank] = registered.sizes[d];
    target.strides[target.rank] = its[d];
    ++target.rank;
  }
  return target;
}

void gather(const UpdateTarget& target, const std::byte* gradient, std::size_t element_bytes,
            std::int64_t begin, std::size_t count, std::byte* out) noexcept {
  std::int64_t index[16] = {};
  std::int64_t offset = 0;
  std::int64_t rest = begin;
  for (std::int64_t d = target.rank - 1; d >= 0; --d) {
    index[d] = rest % target.sizes[d];
    rest /= target.sizes[d];
    offset += index[d] * target.strides[d];
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(out + i * element_bytes, gradient + offset * static_cast<std::int64_t>(element_bytes),
                element_bytes);
    for (std::int64_t d = target.rank - 1; d >= 0; --d) {
      offset += target.strides[d];
      if (++index[d] < target.sizes[d]) break;
      offset -= index[d] * target.strides[d];
      index[d] = 0;
    }
  }
}

}  // namespace gradstab
