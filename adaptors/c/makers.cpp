// Transforms and optimizers are made, chained and freed.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/transforms.hpp"
#include "handle.hpp"
#include "make_transform.hpp"
#include "optimizer_settings.hpp"
#include "settings.hpp"

using namespace gradstab;

namespace {

Status check_links(gradstab_transform* const* links, size_t count) {
  if (links == nullptr && count > 0) return c::null_argument("links", "an array of ", count, " transforms");
  for (size_t i = 0; i < count; ++i) {
    if (links[i] == nullptr) return c::invalid("link ", i, " is NULL, expected a transform");
    if (links[i]->taken_by != nullptr) return c::lost("link " + std::to_string(i), links[i]->taken_by);
    const auto* same = std::find(links, links + i, links[i]);
    if (same != links + i) {
      return c::invalid("link ", i, " is the same transform as link ", same - links);
    }
  }
  return {};
}

}  // namespace

gradstab_status gradstab_stabilize(const gradstab_stabilizer_options* options, const gradstab_units* units,
                                   gradstab_transform** transform) {
  return c::make_transform(transform, [&]() -> Result<GradientTransform> {
    const auto read = c::read_options(options);
    if (!read) return read.status();
    auto chosen = c::read_units(units);
    if (!chosen) return chosen.status();
    return stabilize(*read, std::move(*chosen));
  });
}

gradstab_status gradstab_clip_by_global_norm(double max_norm, int32_t max_abs,
                                             gradstab_transform** transform) {
  return c::make_transform(transform, [&]() -> Result<GradientTransform> {
    const auto largest = c::read_flag("max_abs", max_abs);
    if (!largest) return largest.status();
    return clip_by_global_norm({.max_norm = max_norm, .p = *largest ? kUnbounded : 2.0});
  });
}

gradstab_status gradstab_record_norms(double spike_ratio, const gradstab_units* units,
                                      gradstab_transform** transform) {
  return c::make_transform(transform, [&]() -> Result<GradientTransform> {
    auto chosen = c::read_units(units);
    if (!chosen) return chosen.status();
    return record_norms(spike_ratio, std::move(*chosen));
  });
}

gradstab_status gradstab_chain(gradstab_transform* const* links, size_t count,
                               gradstab_transform** transform) {
  const gradstab_status status = c::make_transform(transform, [&]() -> Result<GradientTransform> {
    GRADSTAB_RETURN_IF_ERROR(check_links(links, count));
    std::vector<GradientTransform> taken;
    taken.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      links[i]->taken_by = "gradstab_chain";
      taken.push_back(std::move(links[i]->object));
    }
    return chain_of(std::move(taken));
  });
  if (status == GRADSTAB_OK) std::for_each(links, links + count, gradstab_destroy);
  return status;
}

void gradstab_destroy(gradstab_transform* transform) {
  delete transform;
}

namespace {

/// The pointer that was given out stays valid unless the name has changed.
template <class Object>
gradstab_status name_of(const Object* object, const char** name) noexcept {
  return c::run_on(object, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = nullptr;
    if (std::string now = object->object.name(); now != object->name) object->name = std::move(now);
    *name = object->name.c_str();
    return {};
  });
}

/// An optimizer with the settings that read() returns, behind the transform, which is used up.
template <class Read>
gradstab_status make_optimizer(const char* maker, gradstab_transform* transform, gradstab_optimizer** result,
                               Read read) noexcept {
  if (result != nullptr) *result = nullptr;
  const gradstab_status status = c::run([&]() -> Status {
    if (result == nullptr) return c::null_argument("optimizer", "where to put the new one");
    Result<OptimizerOptions> options = read();
    if (!options) return options.status();
    std::optional<GradientTransform> taken;
    if (transform != nullptr) {
      if (transform->taken_by != nullptr) return c::lost("the transform", transform->taken_by);
      transform->taken_by = maker;
      taken = std::move(transform->object);
    }
    *result =
        std::make_unique<gradstab_optimizer>(Optimizer(std::move(*options), std::move(taken))).release();
    return {};
  });
  if (status == GRADSTAB_OK) gradstab_destroy(transform);
  return status;
}

}  // namespace

gradstab_status gradstab_transform_name(const gradstab_transform* transform, const char** name) {
  return name_of(transform, name);
}

#define GRADSTAB_MAKER(word, ...)                                                                          \
  gradstab_status gradstab_##word(const gradstab_##word##_options* options, gradstab_transform* transform, \
                                  gradstab_optimizer** optimizer) {                                        \
    return make_optimizer("gradstab_" #word, transform, optimizer,                                         \
                          [&] { return c::read_optimizer(options); });                                     \
  }
GRADSTAB_C_OPTIMIZERS(GRADSTAB_MAKER, GRADSTAB_MAKER)
#undef GRADSTAB_MAKER

void gradstab_optimizer_destroy(gradstab_optimizer* optimizer) {
  delete optimizer;
}

gradstab_status gradstab_optimizer_name(const gradstab_optimizer* optimizer, const char** name) {
  return name_of(optimizer, name);
}
