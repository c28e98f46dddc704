// What every maker of a transform does with what it has made.
#pragma once

#include <memory>
#include <utility>

#include "errors.hpp"
#include "gradstab/gradstab.h"
#include "handle.hpp"

namespace gradstab::c {

/// Puts what make() returns into *result; NULL after an error.
template <class Make>
gradstab_status make_transform(gradstab_transform** result, Make make) noexcept {
  if (result != nullptr) *result = nullptr;
  return run([&]() -> Status {
    if (result == nullptr) return null_argument("transform", "where to put the new one");
    Result<GradientTransform> made = make();
    if (!made) return made.status();
    GRADSTAB_RETURN_IF_ERROR(made->validate());
    *result = std::make_unique<gradstab_transform>(std::move(*made)).release();
    return {};
  });
}

}  // namespace gradstab::c
