// The C interface of what runs on a CUDA device.
#include "gradstab/cuda.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <variant>
#include <vector>

#include "errors.hpp"
#include "gradstab/cuda.hpp"
#include "handle.hpp"
#include "optimizer_settings.hpp"
#include "parameters.hpp"
#include "settings.hpp"
#include "structs.hpp"
#include "tensors.hpp"

using namespace gradstab;

struct gradstab_cuda : c::Handle {
  static constexpr const char* kNoun = "object";
  static constexpr const char* kExpected = "a transform or optimizer on a device";
  static constexpr const char* kInit = "gradstab_cuda_init";

  explicit gradstab_cuda(std::variant<cuda::Transform, cuda::Optimizer> made) : object(std::move(made)) {
    name = base().name();
  }

  cuda::OnDevice& base() noexcept {
    if (auto* transform = std::get_if<cuda::Transform>(&object)) return *transform;
    return std::get<cuda::Optimizer>(object);
  }
  const cuda::OnDevice& base() const noexcept { return const_cast<gradstab_cuda*>(this)->base(); }
  bool optimizes() const noexcept { return std::holds_alternative<cuda::Optimizer>(object); }

  std::variant<cuda::Transform, cuda::Optimizer> object;
  std::vector<TensorRef> parameters;  ///< of this step, as `gradients`
};

namespace gradstab::c {

template <>
struct StructTraits<gradstab_cuda_options> {
  static constexpr std::string_view name = "gradstab_cuda_options";
  static constexpr std::size_t first_size = sizeof(gradstab_cuda_options);
};

}  // namespace gradstab::c

namespace {

/// Makes an object of what `given` holds, which is then gone.
template <class Made, class Given>
gradstab_status make(Given* given, const char* function, gradstab_cuda** object,
                     void (*destroy)(Given*)) noexcept {
  if (object != nullptr) *object = nullptr;
  const gradstab_status status = c::run([&]() -> Status {
    if (object == nullptr) return c::null_argument("object", "where to put the new one");
    if (given == nullptr) return c::null_argument(Given::kNoun, Given::kExpected);
    if (given->taken_by != nullptr) return c::lost(std::string("the ") + Given::kNoun, given->taken_by);
    given->taken_by = function;
    *object = std::make_unique<gradstab_cuda>(Made(std::move(given->object))).release();
    return {};
  });
  if (status == GRADSTAB_OK) destroy(given);
  return status;
}

Result<cuda::DeviceOptions> read_device_options(const gradstab_cuda_options* options) {
  cuda::DeviceOptions result;
  if (options == nullptr) return result;
  gradstab_cuda_options given{};
  GRADSTAB_RETURN_IF_ERROR(c::read_struct(options, given));
  if (given.nonfinite < GRADSTAB_SKIP_TENSOR || given.nonfinite > GRADSTAB_PASS_THROUGH) {
    return c::invalid("nonfinite must be skip tensor (0), skip step (1), raise (2) or pass through (3), got ",
                      given.nonfinite);
  }
  if (given.low_precision != GRADSTAB_MASTER_COPY && given.low_precision != GRADSTAB_STOCHASTIC_ROUNDING) {
    return c::invalid("low_precision must be master copy (0) or stochastic rounding (1), got ",
                      given.low_precision);
  }
  const auto emulate = c::read_flag("emulate", given.emulate);
  if (!emulate) return emulate.status();
  result.nonfinite = static_cast<NonFinitePolicy>(given.nonfinite);
  result.device = given.device;
  result.emulate = *emulate;
  result.low_precision = static_cast<LowPrecision>(given.low_precision);
  result.seed = given.seed;
  return result;
}

Status read_pair(gradstab_cuda& object, size_t index, const gradstab_tensor* parameters,
                 const gradstab_tensor& gradient) {
  const Parameter& registered = object.base().parameters()[index];
  const auto read = c::read_tensor(gradient, registered);
  if (!read) return read.status();
  object.gradients[index] = *read;
  object.parameters[index] = {};
  if (!object.optimizes() || read->data == nullptr) return {};
  const auto own = c::read_tensor(parameters[index], registered, "parameter");
  if (!own) return own.status();
  object.parameters[index] = *own;
  return {};
}

/// Reads the tensors and calls pass(object).
template <class Pass>
gradstab_status over_tensors(gradstab_cuda* object, const char* function, const gradstab_tensor* parameters,
                             const gradstab_tensor* gradients, size_t count, Pass pass) noexcept {
  return c::run_on(object, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const std::size_t registered = object->base().parameters().size();
    if (count != registered) {
      return c::error(StatusCode::shape_mismatch, "got ", count, " gradients for ", registered,
                      " registered parameters");
    }
    if (gradients == nullptr && count > 0) return c::null_argument("gradients", "an array of ", count);
    if (object->optimizes() && parameters == nullptr && count > 0)
      return c::null_argument("parameters", "an array of ", count);
    object->gradients.resize(count);
    object->parameters.resize(count);
    for (size_t i = 0; i < count; ++i)
      GRADSTAB_RETURN_IF_ERROR(read_pair(*object, i, parameters, gradients[i]));
    return pass(*object);
  });
}

/// Calls work(optimizer), or says that a transform does not have `what`.
template <class Work>
gradstab_status with_optimizer(gradstab_cuda* object, const char* what, Work work) noexcept {
  return c::run_on(object, [&]() -> Status {
    auto* optimizer = std::get_if<cuda::Optimizer>(&object->object);
    if (optimizer == nullptr) return c::invalid("a transform has no ", what, "; an optimizer has");
    return work(*optimizer);
  });
}

template <class Value, class Get>
gradstab_status get(const gradstab_cuda* object, const char* function, const char* name, Value* value,
                    Get read) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (value == nullptr) return c::null_argument(name, "where to put it");
    *value = {};
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    return read(*value);
  });
}

}  // namespace

const char* gradstab_cuda_last_error(const gradstab_cuda* object) {
  return c::last_error(object);
}

gradstab_status gradstab_cuda_available(void) {
  return c::run([] { return cuda_available(); });
}

gradstab_status gradstab_cuda_transform(gradstab_transform* transform, gradstab_cuda** object) {
  return make<cuda::Transform>(transform, "gradstab_cuda_transform", object, gradstab_destroy);
}

gradstab_status gradstab_cuda_optimizer(gradstab_optimizer* optimizer, gradstab_cuda** object) {
  return make<cuda::Optimizer>(optimizer, "gradstab_cuda_optimizer", object, gradstab_optimizer_destroy);
}

void gradstab_cuda_destroy(gradstab_cuda* object) {
  delete object;
}

gradstab_status gradstab_cuda_name(const gradstab_cuda* object, const char** name) {
  return c::run_on(object, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = object->name.c_str();
    return {};
  });
}

gradstab_status gradstab_cuda_options_init(gradstab_cuda_options* options, size_t struct_size) {
  return c::run([&]() -> Status {
    if (options == nullptr) return c::null_argument("options", "a gradstab_cuda_options");
    GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_cuda_options>(struct_size));
    gradstab_cuda_options value{};
    value.device = -1;
    c::write_struct(value, struct_size, options);
    return {};
  });
}

gradstab_status gradstab_cuda_init(gradstab_cuda* object, const gradstab_parameter* parameters, size_t count,
                                   const gradstab_cuda_options* options,
                                   const gradstab_optimizer_group* groups, size_t group_count) {
  return c::run_on(object, [&]() -> Status {
    object->ready = false;
    auto set = c::read_parameters(parameters, count);
    if (!set) return set.status();
    const auto run = read_device_options(options);
    if (!run) return run.status();
    const auto list = c::read_groups(groups, group_count);
    if (!list) return list.status();
    if (auto* transform = std::get_if<cuda::Transform>(&object->object)) {
      if (!list->empty()) return c::invalid("a transform has no groups of settings; an optimizer has");
      GRADSTAB_RETURN_IF_ERROR(transform->init(std::move(*set), *run));
    } else {
      GRADSTAB_RETURN_IF_ERROR(std::get<cuda::Optimizer>(object->object).init(std::move(*set), *run, *list));
    }
    object->tensors.assign(count, c::kAbsent);
    object->ready = true;
    return {};
  });
}

gradstab_status gradstab_cuda_step(gradstab_cuda* object, const gradstab_tensor* parameters,
                                   const gradstab_tensor* gradients, size_t count, void* stream) {
  return over_tensors(object, "gradstab_cuda_step", parameters, gradients, count, [&](gradstab_cuda& on) {
    if (auto* transform = std::get_if<cuda::Transform>(&on.object))
      return transform->update(on.gradients, stream);
    return std::get<cuda::Optimizer>(on.object).step(on.parameters, on.gradients, stream);
  });
}

gradstab_status gradstab_cuda_step_one(gradstab_cuda* object, size_t index, const gradstab_tensor* parameter,
                                       const gradstab_tensor* gradient, void* stream) {
  return with_optimizer(object, "step of one parameter", [&](cuda::Optimizer& optimizer) -> Status {
    if (parameter == nullptr) return c::null_argument("parameter", "a tensor");
    if (gradient == nullptr) return c::null_argument("gradient", "a tensor");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_step_one"));
    const std::size_t registered = optimizer.parameters().size();
    if (index >= registered)
      return c::invalid("there is no parameter ", index, "; ", registered, " are registered");
    const auto read_gradient = c::read_tensor(*gradient, optimizer.parameters()[index], "gradient");
    if (!read_gradient) return read_gradient.status();
    const auto read_parameter = c::read_tensor(*parameter, optimizer.parameters()[index], "parameter");
    if (!read_parameter) return read_parameter.status();
    return optimizer.step_one(index, *read_parameter, *read_gradient, stream);
  });
}

gradstab_status gradstab_cuda_prepare(gradstab_cuda* object, const gradstab_tensor* parameters,
                                      const gradstab_tensor* gradients, size_t count, void* stream) {
  return over_tensors(object, "gradstab_cuda_prepare", parameters, gradients, count, [&](gradstab_cuda& on) {
    auto* optimizer = std::get_if<cuda::Optimizer>(&on.object);
    return optimizer != nullptr ? optimizer->prepare(on.parameters, on.gradients, stream) : Status();
  });
}

gradstab_status gradstab_cuda_measure(gradstab_cuda* object, const gradstab_tensor* parameters,
                                      const gradstab_tensor* gradients, size_t count, void* stream) {
  return over_tensors(object, "gradstab_cuda_measure", parameters, gradients, count, [&](gradstab_cuda& on) {
    if (auto* transform = std::get_if<cuda::Transform>(&on.object))
      return transform->measure(on.gradients, stream);
    return std::get<cuda::Optimizer>(on.object).measure(on.parameters, on.gradients, stream);
  });
}

gradstab_status gradstab_cuda_finish(gradstab_cuda* object, void* stream) {
  return c::run_on(object, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_finish"));
    if (auto* transform = std::get_if<cuda::Transform>(&object->object)) return transform->finish(stream);
    return std::get<cuda::Optimizer>(object->object).finish(stream);
  });
}

gradstab_status gradstab_cuda_squared_norms(const gradstab_cuda* object, double** squared_norms) {
  return get(object, "gradstab_cuda_squared_norms", "squared_norms", squared_norms, [&](double*& value) {
    value = object->base().squared_norms();
    return Status();
  });
}

gradstab_status gradstab_cuda_skip_flag(const gradstab_cuda* object, const int32_t** flag) {
  return get(object, "gradstab_cuda_skip_flag", "flag", flag, [&](const int32_t*& value) {
    value = object->base().skip_flag();
    return Status();
  });
}

gradstab_status gradstab_cuda_request_report(gradstab_cuda* object, void* stream) {
  return c::run_on(object, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_request_report"));
    return object->base().request_report(stream);
  });
}

gradstab_status gradstab_cuda_report_is_ready(const gradstab_cuda* object, int32_t* ready) {
  return get(object, "gradstab_cuda_report_is_ready", "ready", ready, [&](int32_t& value) {
    const auto there = object->base().report_is_ready();
    if (there) value = *there ? 1 : 0;
    return there.status();
  });
}

gradstab_status gradstab_cuda_report(gradstab_cuda* object, gradstab_step_report* report) {
  return c::run_on(object, [&]() -> Status {
    if (report == nullptr) return c::null_argument("report", "a gradstab_step_report");
    const size_t size = report->struct_size;
    GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_step_report>(size));
    c::write_struct({}, size, report);
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_report"));
    const auto done = object->base().report();
    if (!done) return done.status();
    c::keep_tensors(*done, *object);
    c::write_struct(c::to_c(*done, *object), size, report);
    return {};
  });
}

gradstab_status gradstab_cuda_set_lr(gradstab_cuda* object, double lr, void* stream) {
  return with_optimizer(object, "learning rate",
                        [&](cuda::Optimizer& optimizer) { return optimizer.set_lr(lr, stream); });
}

gradstab_status gradstab_cuda_set_group_lr(gradstab_cuda* object, size_t group, double lr, void* stream) {
  return with_optimizer(object, "learning rate",
                        [&](cuda::Optimizer& optimizer) { return optimizer.set_lr(group, lr, stream); });
}

gradstab_status gradstab_cuda_save(gradstab_cuda* object, void* stream, void** bytes, size_t* size) {
  if (bytes != nullptr) *bytes = nullptr;
  if (size != nullptr) *size = 0;
  return c::run_on(object, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a void*");
    if (size == nullptr) return c::null_argument("size", "a size_t");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_save"));
    const auto state = object->base().save(stream);
    if (!state) return state.status();
    void* memory = std::malloc(state->size());  // freed by gradstab_free
    if (memory == nullptr) throw std::bad_alloc();
    std::memcpy(memory, state->data(), state->size());
    *bytes = memory;
    *size = state->size();
    return {};
  });
}

gradstab_status gradstab_cuda_load(gradstab_cuda* object, const void* bytes, size_t size, void* stream) {
  return c::run_on(object, [&]() -> Status {
    if (bytes == nullptr) return c::null_argument("bytes", "a saved state");
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_load"));
    return object->base().load({static_cast<const std::byte*>(bytes), size}, stream);
  });
}

gradstab_status gradstab_cuda_counts(const gradstab_cuda* object, uint64_t* launches, uint64_t* copies,
                                     uint64_t* waits) {
  return c::run_on(object, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, "gradstab_cuda_counts"));
    const cuda::DeviceCounts counts = object->base().counts();
    if (launches != nullptr) *launches = counts.launches;
    if (copies != nullptr) *copies = counts.copies;
    if (waits != nullptr) *waits = counts.waits;
    return {};
  });
}
