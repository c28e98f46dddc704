// Transforms are made, chained and freed.
#include <algorithm>
#include <memory>
#include <vector>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/transforms.hpp"
#include "handle.hpp"
#include "settings.hpp"

using namespace gradstab;

namespace {

/// Puts what make() returns into *result; NULL after an error.
template <class Make>
gradstab_status make_transform(gradstab_transform** result, Make make) noexcept {
  if (result != nullptr) *result = nullptr;
  return c::run([&]() -> Status {
    if (result == nullptr) return c::null_argument("transform", "where to put the new one");
    Result<GradientTransform> made = make();
    if (!made) return made.status();
    GRADSTAB_RETURN_IF_ERROR(made->validate());
    *result = std::make_unique<gradstab_transform>(std::move(*made)).release();
    return {};
  });
}

Status check_links(gradstab_transform* const* links, size_t count) {
  if (links == nullptr && count > 0) return c::null_argument("links", "an array of ", count, " transforms");
  for (size_t i = 0; i < count; ++i) {
    if (links[i] == nullptr) return c::invalid("link ", i, " is NULL, expected a transform");
    if (links[i]->dismantled) {
      return c::error(StatusCode::failed_precondition, "link ", i,
                      " was lost when gradstab_chain ran out of memory");
    }
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
  return make_transform(transform, [&]() -> Result<GradientTransform> {
    const auto read = c::read_options(options);
    if (!read) return read.status();
    auto chosen = c::read_units(units);
    if (!chosen) return chosen.status();
    return stabilize(*read, std::move(*chosen));
  });
}

gradstab_status gradstab_clip_by_global_norm(double max_norm, int32_t max_abs,
                                             gradstab_transform** transform) {
  return make_transform(transform, [&]() -> Result<GradientTransform> {
    const auto largest = c::read_flag("max_abs", max_abs);
    if (!largest) return largest.status();
    return clip_by_global_norm({.max_norm = max_norm, .max_abs = *largest});
  });
}

gradstab_status gradstab_record_norms(double spike_ratio, const gradstab_units* units,
                                      gradstab_transform** transform) {
  return make_transform(transform, [&]() -> Result<GradientTransform> {
    auto chosen = c::read_units(units);
    if (!chosen) return chosen.status();
    return record_norms(spike_ratio, std::move(*chosen));
  });
}

gradstab_status gradstab_chain(gradstab_transform* const* links, size_t count,
                               gradstab_transform** transform) {
  const gradstab_status status = make_transform(transform, [&]() -> Result<GradientTransform> {
    GRADSTAB_RETURN_IF_ERROR(check_links(links, count));
    std::vector<GradientTransform> taken;
    taken.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      links[i]->dismantled = true;
      taken.push_back(std::move(links[i]->transform));
    }
    return chain_of(std::move(taken));
  });
  if (status == GRADSTAB_OK) std::for_each(links, links + count, gradstab_destroy);
  return status;
}

void gradstab_destroy(gradstab_transform* transform) {
  delete transform;
}

gradstab_status gradstab_transform_name(const gradstab_transform* transform, const char** name) {
  return c::run_on(transform, [&]() -> Status {
    if (name == nullptr) return c::null_argument("name", "a const char*");
    *name = transform->name.c_str();
    return {};
  });
}
