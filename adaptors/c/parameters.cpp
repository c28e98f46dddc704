// A transform is bound to named parameters.
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/parameter_set.hpp"
#include "handle.hpp"
#include "settings.hpp"

using namespace gradstab;

namespace {

Result<ParameterSet> read_parameters(const gradstab_parameter* parameters, size_t count) {
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

}  // namespace

gradstab_status gradstab_init(gradstab_transform* transform, const gradstab_parameter* parameters,
                              size_t count, const gradstab_run_options* options) {
  return c::run_on(transform, [&]() -> Status {
    transform->ready = false;
    auto set = read_parameters(parameters, count);
    if (!set) return set.status();
    auto run_options = c::read_run_options(options);
    if (!run_options) return run_options.status();
    GRADSTAB_RETURN_IF_ERROR(transform->transform.init(std::move(*set), std::move(*run_options)));
    transform->backend = transform->transform.backend_name();
    transform->row_count = transform->transform.report().rows.size();
    transform->make_room();
    transform->ready = true;
    return {};
  });
}

gradstab_status gradstab_rebind(gradstab_transform* transform, const gradstab_parameter* parameters,
                                size_t count) {
  return c::run_on(transform, [&]() -> Status {
    if (!transform->ready) return c::not_initialised("gradstab_rebind");
    auto set = read_parameters(parameters, count);
    if (!set) return set.status();
    GRADSTAB_RETURN_IF_ERROR(transform->transform.rebind(std::move(*set)));
    transform->row_count = transform->transform.report().rows.size();
    return {};
  });
}

gradstab_status gradstab_parameter_count(const gradstab_transform* transform, size_t* count) {
  return c::run_on(transform, [&]() -> Status {
    if (count == nullptr) return c::null_argument("count", "a size_t");
    *count = 0;
    if (!transform->ready) return c::not_initialised("gradstab_parameter_count");
    *count = transform->transform.parameters().size();
    return {};
  });
}

gradstab_status gradstab_parameter_name(const gradstab_transform* transform, size_t index,
                                        const char** name) {
  return c::run_on(transform, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    if (!transform->ready) return c::not_initialised("gradstab_parameter_name");
    const ParameterSet& set = transform->transform.parameters();
    if (index >= set.size()) {
      return c::invalid("there is no parameter ", index, "; ", set.size(), " are registered");
    }
    *name = set[index].name.c_str();
    return {};
  });
}

gradstab_status gradstab_backend_in_use(const gradstab_transform* transform, const char** name) {
  return c::run_on(transform, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    if (!transform->ready) return c::not_initialised("gradstab_backend_in_use");
    *name = transform->backend.c_str();
    return {};
  });
}
