// One step: tensors in, reports out.
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/tensor.hpp"
#include "handle.hpp"
#include "structs.hpp"
#include "tensors.hpp"

using namespace gradstab;

namespace {

using c::keep_tensors;
using c::read_tensor;
using c::to_c;

/// One of the arrays that a step is given.
struct Array {
  const char* name;
  const void* data;
};

/// One step over `count` parameters: take(i, parameter), which returns a Status, reads what there is of each;
/// update(step number) is the step.
template <class Object, class Take, class Update>
gradstab_status step_over(Object* object, const char* function, std::initializer_list<Array> arrays,
                          size_t count, int64_t step, gradstab_step_report* report, Take take,
                          Update update) noexcept {
  return c::run_on(object, [&]() -> Status {
    const size_t report_size = report != nullptr ? report->struct_size : 0;
    if (report != nullptr) {
      GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_step_report>(report_size));
      c::write_struct({}, report_size, report);
    }
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const ParameterSet& parameters = object->object.parameters();
    if (count != parameters.size()) {
      return c::error(StatusCode::shape_mismatch, "got ", count, " gradients for ", parameters.size(),
                      " registered parameters");
    }
    for (const Array& array : arrays) {
      if (array.data == nullptr && count > 0) return c::null_argument(array.name, "an array of ", count);
    }
    object->make_room();
    for (size_t i = 0; i < count; ++i) GRADSTAB_RETURN_IF_ERROR(take(i, parameters[i]));
    const auto done = update(step == GRADSTAB_NO_STEP ? std::nullopt : std::optional(step));
    keep_tensors(object->object.report(), *object);
    if (report != nullptr && (done || done.status().code() == StatusCode::non_finite)) {
      c::write_struct(to_c(object->object.report(), *object), report_size, report);
    }
    return done.status();
  });
}

gradstab_status transform_step(gradstab_transform* transform, const char* function, Array tensors,
                               size_t count, int64_t step, gradstab_step_report* report,
                               auto tensor) noexcept {
  const auto take = [&](size_t i, const Parameter& parameter) -> Status {
    auto one = read_tensor(tensor(i), parameter);
    if (one) transform->gradients[i] = *one;
    return one.status();
  };
  return step_over(
      transform, function, {tensors}, count, step, report, take,
      [&](std::optional<int64_t> number) { return transform->object.update(transform->gradients, number); });
}

/// Reads the gradient and, where there is one, its parameter, which are written to their places at `index`.
Status take_pair(gradstab_optimizer& optimizer, size_t index, const Parameter& registered,
                 const gradstab_tensor& parameter, const gradstab_tensor& gradient) {
  const auto read = read_tensor(gradient, registered);
  if (!read) return read.status();
  optimizer.gradients[index] = *read;
  optimizer.parameters[index] = {};
  if (read->data == nullptr || parameter.data == nullptr) return {};  // the step says what is missing
  const auto own = read_tensor(parameter, registered, "parameter");
  if (!own) return own.status();
  if (own->sparse_values) {
    return c::invalid("parameter '", registered.name, "' has sparse_values 1, expected 0");
  }
  optimizer.parameters[index] = *own;
  return {};
}

gradstab_status optimizer_step(gradstab_optimizer* optimizer, const char* function, const void* parameters,
                               const void* gradients, size_t count, int64_t step,
                               gradstab_step_report* report, auto parameter, auto gradient) noexcept {
  return step_over(
      optimizer, function, {{"parameters", parameters}, {"gradients", gradients}}, count, step, report,
      [&](size_t i, const Parameter& registered) {
        return take_pair(*optimizer, i, registered, parameter(i), gradient(i));
      },
      [&](std::optional<int64_t> number) {
        return optimizer->object.step(optimizer->parameters, optimizer->gradients, number);
      });
}

/// Of a contiguous tensor on the CPU.
gradstab_tensor plain_tensor(void* data, gradstab_dtype dtype) noexcept {
  gradstab_tensor tensor{};
  tensor.data = data;
  tensor.dtype = dtype;
  return tensor;
}

Status check_index(const ParameterSet& parameters, size_t index) {
  if (index < parameters.size()) return {};
  return c::invalid("there is no parameter ", index, "; ", parameters.size(), " are registered");
}

template <class Object>
gradstab_status nonfinite_tensors(const Object* object, const char* function, size_t* indices,
                                  size_t capacity, size_t* count) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (count == nullptr) return c::null_argument("count", "a size_t");
    *count = 0;
    if (indices == nullptr && capacity > 0) return c::null_argument("indices", "room for ", capacity);
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    for (size_t i = 0; i < object->tensors.size(); ++i) {
      if (object->tensors[i].finite != 0) continue;
      if (*count < capacity) indices[*count] = i;
      *count += 1;
    }
    return {};
  });
}

}  // namespace

gradstab_status gradstab_update(gradstab_transform* transform, const gradstab_tensor* tensors, size_t count,
                                int64_t step, gradstab_step_report* report) {
  return transform_step(transform, "gradstab_update", {"tensors", tensors}, count, step, report,
                        [&](size_t i) -> const gradstab_tensor& { return tensors[i]; });
}

gradstab_status gradstab_update_pointers(gradstab_transform* transform, void* const* data, size_t count,
                                         gradstab_dtype dtype, int64_t step, gradstab_step_report* report) {
  return transform_step(transform, "gradstab_update_pointers", {"data", data}, count, step, report,
                        [&](size_t i) { return plain_tensor(data[i], dtype); });
}

gradstab_status gradstab_nonfinite_tensors(const gradstab_transform* transform, size_t* indices,
                                           size_t capacity, size_t* count) {
  return nonfinite_tensors(transform, "gradstab_nonfinite_tensors", indices, capacity, count);
}

gradstab_status gradstab_optimizer_step(gradstab_optimizer* optimizer, const gradstab_tensor* parameters,
                                        const gradstab_tensor* gradients, size_t count, int64_t step,
                                        gradstab_step_report* report) {
  return optimizer_step(
      optimizer, "gradstab_optimizer_step", parameters, gradients, count, step, report,
      [&](size_t i) -> const gradstab_tensor& { return parameters[i]; },
      [&](size_t i) -> const gradstab_tensor& { return gradients[i]; });
}

gradstab_status gradstab_optimizer_step_pointers(gradstab_optimizer* optimizer, void* const* parameters,
                                                 void* const* gradients, size_t count,
                                                 gradstab_dtype parameter_dtype,
                                                 gradstab_dtype gradient_dtype, int64_t step,
                                                 gradstab_step_report* report) {
  return optimizer_step(
      optimizer, "gradstab_optimizer_step_pointers", parameters, gradients, count, step, report,
      [&](size_t i) { return plain_tensor(parameters[i], parameter_dtype); },
      [&](size_t i) { return plain_tensor(gradients[i], gradient_dtype); });
}

gradstab_status gradstab_optimizer_can_step_one(const gradstab_optimizer* optimizer) {
  return c::run_on(optimizer, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*optimizer, "gradstab_optimizer_can_step_one"));
    return optimizer->object.can_step_one();
  });
}

gradstab_status gradstab_optimizer_step_one(gradstab_optimizer* optimizer, size_t index,
                                            const gradstab_tensor* parameter, const gradstab_tensor* gradient,
                                            gradstab_tensor_report* report) {
  return c::run_on(optimizer, [&]() -> Status {
    if (report != nullptr) *report = c::kAbsent;
    if (parameter == nullptr) return c::null_argument("parameter", "a tensor");
    if (gradient == nullptr) return c::null_argument("gradient", "a tensor");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*optimizer, "gradstab_optimizer_step_one"));
    const ParameterSet& parameters = optimizer->object.parameters();
    GRADSTAB_RETURN_IF_ERROR(check_index(parameters, index));
    optimizer->make_room();
    GRADSTAB_RETURN_IF_ERROR(take_pair(*optimizer, index, parameters[index], *parameter, *gradient));
    const auto done =
        optimizer->object.step_one(index, optimizer->parameters[index], optimizer->gradients[index]);
    gradstab_tensor_report& kept = optimizer->tensors[index];
    kept = done ? to_c(*done) : c::kAbsent;
    if (done.status().code() == StatusCode::non_finite) {
      kept.present = 1;
      kept.finite = 0;
    }
    if (done && report != nullptr) *report = kept;
    return done.status();
  });
}

gradstab_status gradstab_optimizer_measure_one(gradstab_optimizer* optimizer, size_t index,
                                               const gradstab_tensor* gradient) {
  return c::run_on(optimizer, [&]() -> Status {
    if (gradient == nullptr) return c::null_argument("gradient", "a tensor");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*optimizer, "gradstab_optimizer_measure_one"));
    const ParameterSet& parameters = optimizer->object.parameters();
    GRADSTAB_RETURN_IF_ERROR(check_index(parameters, index));
    const auto read = read_tensor(*gradient, parameters[index]);
    if (!read) return read.status();
    return optimizer->object.measure_one(index, *read);
  });
}

gradstab_status gradstab_optimizer_nonfinite_tensors(const gradstab_optimizer* optimizer, size_t* indices,
                                                     size_t capacity, size_t* count) {
  return nonfinite_tensors(optimizer, "gradstab_optimizer_nonfinite_tensors", indices, capacity, count);
}
