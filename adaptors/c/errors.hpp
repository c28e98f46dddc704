// The way out of every C function: a status code, and the message where gradstab_last_error finds it.
#pragma once

#include <string_view>

#include "gradstab/gradstab.h"
#include "gradstab/status.hpp"
#include "handle.hpp"
#include "text.hpp"

namespace gradstab::c {

/// Keeps the message with `transform`, or for the calling thread where that is NULL, and returns the code.
gradstab_status finish(const gradstab_transform* transform, const Status& status) noexcept;

/// The same for the exception that is being handled.
gradstab_status finish_exception(const gradstab_transform* transform) noexcept;

/// The error of an argument, or a part of one, that is NULL.
template <class Name, class... Expected>
Status null_argument(const Name& name, const Expected&... expected) {
  return invalid(name, " is NULL, expected ", expected...);
}

/// The error of a function that needs gradstab_init before it.
inline Status not_initialised(std::string_view function) {
  return error(StatusCode::failed_precondition, function, " was called before a successful gradstab_init");
}

/// Calls body(), which returns a Status, on behalf of no transform.
template <class Body>
gradstab_status run(Body body) noexcept {
  try {
    return finish(nullptr, body());
  } catch (...) {
    return finish_exception(nullptr);
  }
}

/// Calls body() on behalf of a transform that the caller must have given.
template <class Body>
gradstab_status run_on(const gradstab_transform* transform, Body body) noexcept {
  try {
    if (transform == nullptr) return finish(nullptr, null_argument("transform", "a transform"));
    if (transform->dismantled) {
      return finish(transform, error(StatusCode::failed_precondition,
                                     "the transform was lost when gradstab_chain ran out of memory"));
    }
    return finish(transform, body());
  } catch (...) {
    return finish_exception(transform);
  }
}

}  // namespace gradstab::c
