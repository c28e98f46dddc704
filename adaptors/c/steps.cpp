// One step: tensors in, reports out.
#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/tensor_ref.hpp"
#include "handle.hpp"
#include "structs.hpp"

using namespace gradstab;

namespace {

static_assert(GRADSTAB_FLOAT32 == static_cast<int>(DType::float32) &&
              GRADSTAB_FLOAT64 == static_cast<int>(DType::float64) &&
              GRADSTAB_FLOAT16 == static_cast<int>(DType::float16) &&
              GRADSTAB_BFLOAT16 == static_cast<int>(DType::bfloat16));
static_assert(GRADSTAB_CPU == static_cast<int>(DeviceType::cpu) &&
              GRADSTAB_CUDA == static_cast<int>(DeviceType::cuda));

/// Numbers from outside may be anything until they have been looked at.
Result<TensorRef> read_tensor(const gradstab_tensor& given, const Parameter& parameter) {
  const auto refuse = [&](StatusCode code, const auto&... what) {
    return c::error(code, "gradient of '", parameter.name, "' ", what...);
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

const gradstab_tensor_report* or_null(const std::vector<gradstab_tensor_report>& list) noexcept {
  return list.empty() ? nullptr : list.data();
}

/// Room for all reports was made before.
gradstab_step_report to_c(const StepReport& report, gradstab_transform& transform) noexcept {
  const auto copy = [](const TensorReport& one) { return to_c(one); };
  std::ranges::transform(report.tensors, transform.tensors.begin(), copy);
  std::ranges::transform(report.rows, transform.rows.begin(), copy);
  return {.struct_size = sizeof(gradstab_step_report),
          .step = report.step,
          .raw_global_norm = report.raw_global_norm,
          .global_norm = report.global_norm,
          .spikes = report.spikes,
          .nonfinite = report.nonfinite,
          .skip_step = report.skip_step ? 1 : 0,
          .reserved = 0,
          .tensor_count = report.tensors.size(),
          .tensors = or_null(transform.tensors),
          .row_count = report.rows.size(),
          .rows = or_null(transform.rows),
          .first_row = report.first_row.empty() ? nullptr : report.first_row.data()};
}

/// One step over `count` gradients, of which tensor(i) gives a Result<TensorRef>.
template <class Tensor>
gradstab_status step_over(gradstab_transform* transform, const char* function, const char* array_name,
                          const void* array, size_t count, int64_t step, gradstab_step_report* report,
                          Tensor tensor) noexcept {
  return c::run_on(transform, [&]() -> Status {
    const size_t report_size = report != nullptr ? report->struct_size : 0;
    if (report != nullptr) {
      GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_step_report>(report_size));
      c::write_struct({}, report_size, report);
    }
    if (!transform->ready) return c::not_initialised(function);
    const ParameterSet& parameters = transform->transform.parameters();
    if (count != parameters.size()) {
      return c::error(StatusCode::shape_mismatch, "got ", count, " gradients for ", parameters.size(),
                      " registered parameters");
    }
    if (array == nullptr && count > 0) return c::null_argument(array_name, "an array of ", count);
    transform->make_room();
    for (size_t i = 0; i < count; ++i) {
      auto one = tensor(i, parameters[i]);
      if (!one) return one.status();
      transform->gradients[i] = *one;
    }
    const auto step_number = step == GRADSTAB_NO_STEP ? std::nullopt : std::optional(step);
    const auto done = transform->transform.update(transform->gradients, step_number);
    if (report != nullptr && (done || done.status().code() == StatusCode::non_finite)) {
      c::write_struct(to_c(transform->transform.report(), *transform), report_size, report);
    }
    return done.status();
  });
}

}  // namespace

gradstab_status gradstab_update(gradstab_transform* transform, const gradstab_tensor* tensors, size_t count,
                                int64_t step, gradstab_step_report* report) {
  return step_over(transform, "gradstab_update", "tensors", tensors, count, step, report,
                   [&](size_t i, const Parameter& parameter) { return read_tensor(tensors[i], parameter); });
}

gradstab_status gradstab_update_pointers(gradstab_transform* transform, void* const* data, size_t count,
                                         gradstab_dtype dtype, int64_t step, gradstab_step_report* report) {
  return step_over(transform, "gradstab_update_pointers", "data", data, count, step, report,
                   [&](size_t i, const Parameter& parameter) {
                     gradstab_tensor given{};
                     given.data = data[i];
                     given.dtype = dtype;
                     return read_tensor(given, parameter);
                   });
}

gradstab_status gradstab_nonfinite_tensors(const gradstab_transform* transform, size_t* indices,
                                           size_t capacity, size_t* count) {
  return c::run_on(transform, [&]() -> Status {
    if (count == nullptr) return c::null_argument("count", "a size_t");
    *count = 0;
    if (indices == nullptr && capacity > 0) return c::null_argument("indices", "room for ", capacity);
    if (!transform->ready) return c::not_initialised("gradstab_nonfinite_tensors");
    const std::span<const TensorReport> tensors = transform->transform.report().tensors;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].finite) continue;
      if (*count < capacity) indices[*count] = i;
      *count += 1;
    }
    return {};
  });
}
