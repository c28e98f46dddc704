// Transforms and optimizers are bound to named parameters.
#include "parameters.hpp"

#include <utility>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/tensor.hpp"
#include "handle.hpp"
#include "optimizer_settings.hpp"
#include "settings.hpp"

using namespace gradstab;

Result<ParameterSet> c::read_parameters(const gradstab_parameter* parameters, size_t count) {
  if (parameters == nullptr && count > 0) return c::null_argument("parameters", "an array of ", count);
  std::vector<Parameter> list;
  for (size_t i = 0; i < count; ++i) {
    const gradstab_parameter& given = parameters[i];
    if (given.name == nullptr) return c::invalid("name of parameter ", i, " is NULL, expected a text");
    if (given.rank > GRADSTAB_MAX_RANK) {
      return c::invalid("parameter '", given.name, "' has rank ", given.rank, ", expected at most ",
                        GRADSTAB_MAX_RANK);
    }
    if (given.sizes == nullptr && given.rank > 0) {
      return c::invalid("sizes of parameter '", given.name, "' is NULL, expected an array of ", given.rank);
    }
    list.push_back({given.name, {given.sizes, given.sizes + given.rank}});
  }
  return ParameterSet::create(std::move(list));
}

namespace {

using c::read_parameters;

/// Reads the parameters and hands them to bind(), which returns a Status.
template <class Object, class Bind>
gradstab_status init(Object* object, const gradstab_parameter* parameters, size_t count, Bind bind) noexcept {
  return c::run_on(object, [&]() -> Status {
    object->ready = false;
    auto set = read_parameters(parameters, count);
    if (!set) return set.status();
    GRADSTAB_RETURN_IF_ERROR(bind(std::move(*set)));
    object->backend = object->object.backend_name();
    object->row_count = object->object.report().rows.size();
    object->tensors.clear();
    object->make_room();
    object->ready = true;
    return {};
  });
}

template <class Object, class Rebind>
gradstab_status rebind(Object* object, const char* function, const gradstab_parameter* parameters,
                       size_t count, Rebind bind) noexcept {
  return c::run_on(object, [&]() -> Status {
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    auto set = read_parameters(parameters, count);
    if (!set) return set.status();
    GRADSTAB_RETURN_IF_ERROR(bind(std::move(*set)));
    // The next step makes room: nothing may fail any more.
    object->row_count = object->object.report().rows.size();
    object->tensors.clear();
    return {};
  });
}

template <class Object>
gradstab_status parameter_count(const Object* object, const char* function, size_t* count) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (count == nullptr) return c::null_argument("count", "a size_t");
    *count = 0;
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    *count = object->object.parameters().size();
    return {};
  });
}

template <class Object>
gradstab_status parameter_name(const Object* object, const char* function, size_t index,
                               const char** name) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    const ParameterSet& set = object->object.parameters();
    if (index >= set.size()) {
      return c::invalid("there is no parameter ", index, "; ", set.size(), " are registered");
    }
    *name = set[index].name.c_str();
    return {};
  });
}

template <class Object>
gradstab_status backend_in_use(const Object* object, const char* function, const char** name) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    GRADSTAB_RETURN_IF_ERROR(c::check_ready(*object, function));
    *name = object->backend.c_str();
    return {};
  });
}

}  // namespace

gradstab_status gradstab_init(gradstab_transform* transform, const gradstab_parameter* parameters,
                              size_t count, const gradstab_run_options* options) {
  return init(transform, parameters, count, [&](ParameterSet set) -> Status {
    auto run_options = c::read_run_options(options);
    if (!run_options) return run_options.status();
    return transform->object.init(std::move(set), std::move(*run_options));
  });
}

gradstab_status gradstab_rebind(gradstab_transform* transform, const gradstab_parameter* parameters,
                                size_t count) {
  return rebind(transform, "gradstab_rebind", parameters, count,
                [&](ParameterSet set) { return transform->object.rebind(std::move(set)); });
}

gradstab_status gradstab_optimizer_init(gradstab_optimizer* optimizer, const gradstab_parameter* parameters,
                                        size_t count, const gradstab_optimizer_run_options* options,
                                        const gradstab_optimizer_group* groups, size_t group_count) {
  if (optimizer != nullptr) optimizer->object.unbind();  // also if what is given cannot even be read
  return init(optimizer, parameters, count, [&](ParameterSet set) -> Status {
    auto run_options = c::read_optimizer_run_options(options);
    if (!run_options) return run_options.status();
    const auto list = c::read_groups(groups, group_count);
    if (!list) return list.status();
    return optimizer->object.init(std::move(set), std::move(*run_options), *list);
  });
}

gradstab_status gradstab_optimizer_rebind(gradstab_optimizer* optimizer, const gradstab_parameter* parameters,
                                          size_t count, const gradstab_optimizer_group* groups,
                                          size_t group_count) {
  return rebind(optimizer, "gradstab_optimizer_rebind", parameters, count, [&](ParameterSet set) -> Status {
    const auto list = c::read_groups(groups, group_count);
    if (!list) return list.status();
    return optimizer->object.rebind(std::move(set), *list);
  });
}

gradstab_status gradstab_parameter_count(const gradstab_transform* transform, size_t* count) {
  return parameter_count(transform, "gradstab_parameter_count", count);
}

gradstab_status gradstab_parameter_name(const gradstab_transform* transform, size_t index,
                                        const char** name) {
  return parameter_name(transform, "gradstab_parameter_name", index, name);
}

gradstab_status gradstab_backend_in_use(const gradstab_transform* transform, const char** name) {
  return backend_in_use(transform, "gradstab_backend_in_use", name);
}

gradstab_status gradstab_optimizer_parameter_count(const gradstab_optimizer* optimizer, size_t* count) {
  return parameter_count(optimizer, "gradstab_optimizer_parameter_count", count);
}

gradstab_status gradstab_optimizer_parameter_name(const gradstab_optimizer* optimizer, size_t index,
                                                  const char** name) {
  return parameter_name(optimizer, "gradstab_optimizer_parameter_name", index, name);
}

gradstab_status gradstab_optimizer_backend_in_use(const gradstab_optimizer* optimizer, const char** name) {
  return backend_in_use(optimizer, "gradstab_optimizer_backend_in_use", name);
}
