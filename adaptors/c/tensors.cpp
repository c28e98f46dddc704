#include "tensors.hpp"

#include <algorithm>
#include <vector>

#include "text.hpp"

namespace gradstab::c {
namespace {

static_assert(GRADSTAB_FLOAT32 == static_cast<int>(DType::float32) &&
              GRADSTAB_FLOAT64 == static_cast<int>(DType::float64) &&
              GRADSTAB_FLOAT16 == static_cast<int>(DType::float16) &&
              GRADSTAB_BFLOAT16 == static_cast<int>(DType::bfloat16));
static_assert(GRADSTAB_CPU == static_cast<int>(DeviceType::cpu) &&
              GRADSTAB_CUDA == static_cast<int>(DeviceType::cuda));

const gradstab_tensor_report* or_null(const std::vector<gradstab_tensor_report>& list) noexcept {
  return list.empty() ? nullptr : list.data();
}

}  // namespace

Result<TensorRef> read_tensor(const gradstab_tensor& given, const Parameter& parameter, const char* role) {
  const auto refuse = [&](StatusCode code, const auto&... what) {
    return error(code, role, " '", parameter.name, "' ", what...);
  };
  const std::size_t registered_rank = parameter.sizes.size();
  if (given.data == nullptr) return TensorRef{};
  if (given.dtype < GRADSTAB_FLOAT32 || given.dtype > GRADSTAB_BFLOAT16) {
    return refuse(StatusCode::unsupported, "has unknown dtype ", given.dtype,
                  "; known are float32 (0), float64 (1), float16 (2) and bfloat16 (3)");
  }
  if (given.device != GRADSTAB_CPU && given.device != GRADSTAB_CUDA) {
    return refuse(StatusCode::unsupported, "is on unknown device ", given.device,
                  "; known are the CPU (0) and CUDA (1)");
  }
  if (given.sparse_values != 0 && given.sparse_values != 1) {
    return refuse(StatusCode::invalid_argument, "has sparse_values ", given.sparse_values,
                  ", expected 0 or 1");
  }
  if (given.reserved != 0) {
    return refuse(StatusCode::invalid_argument, "has reserved ", given.reserved,
                  ", expected 0; was the struct set to 0 first?");
  }
  if (given.rank > GRADSTAB_MAX_RANK) {
    return refuse(StatusCode::invalid_argument, "has rank ", given.rank, ", expected at most ",
                  GRADSTAB_MAX_RANK);
  }
  TensorRef tensor{.data = given.data,
                   .dtype = static_cast<DType>(given.dtype),
                   .sizes = parameter.sizes,
                   .strides = {},
                   .device = static_cast<DeviceType>(given.device),
                   .sparse_values = given.sparse_values == 1};
  if (given.sizes != nullptr) {
    tensor.sizes = {given.sizes, given.rank};
  } else if (tensor.sparse_values) {
    return refuse(StatusCode::invalid_argument, "is sparse, but has no sizes of its values");
  } else if (given.rank != registered_rank && (given.strides != nullptr || given.rank != 0)) {
    return refuse(StatusCode::shape_mismatch, "has rank ", given.rank,
                  " and no sizes, expected the registered rank ", registered_rank);
  }
  if (given.strides != nullptr) tensor.strides = {given.strides, given.rank};
  return tensor;
}

gradstab_tensor_report to_c(const TensorReport& report) noexcept {
  return {.raw_norm = report.raw_norm,
          .norm = report.norm(),
          .factor = report.factor,
          .present = report.present,
          .finite = report.finite,
          .spike = report.spike,
          .zeroed = report.zeroed,
          .reserved = 0};
}

void keep_tensors(const StepReport& report, Handle& handle) noexcept {
  std::ranges::fill(handle.tensors, kAbsent);  // a refused step reports nothing
  std::ranges::transform(report.tensors, handle.tensors.begin(),
                         [](const TensorReport& one) { return to_c(one); });
}

gradstab_step_report to_c(const StepReport& report, Handle& handle) noexcept {
  std::ranges::transform(report.rows, handle.rows.begin(), [](const TensorReport& one) { return to_c(one); });
  return {.struct_size = sizeof(gradstab_step_report),
          .step = report.step,
          .raw_global_norm = report.raw_global_norm,
          .global_norm = report.global_norm,
          .spikes = report.spikes,
          .nonfinite = report.nonfinite,
          .skip_step = report.skip_step ? 1 : 0,
          .reserved = 0,
          .tensor_count = report.tensors.size(),
          .tensors = or_null(handle.tensors),
          .row_count = report.rows.size(),
          .rows = or_null(handle.rows),
          .first_row = report.first_row.empty() ? nullptr : report.first_row.data()};
}

}  // namespace gradstab::c
