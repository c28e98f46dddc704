// The way out of every C function: a status code, and the message where gradstab_last_error finds it.
#pragma once

#include <string_view>

#include "gradstab/gradstab.h"
#include "gradstab/status.hpp"
#include "handle.hpp"
#include "text.hpp"

namespace gradstab::c {

/// Keeps the message with `handle`, or for the calling thread where that is NULL, and returns the code.
gradstab_status finish(const Handle* handle, const Status& status) noexcept;

/// The same for the exception that is being handled.
gradstab_status finish_exception(const Handle* handle) noexcept;

/// The message that is kept.
const char* last_error(const Handle* handle) noexcept;

/// The error of an argument, or a part of one, that is NULL.
template <class Name, class... Expected>
Status null_argument(const Name& name, const Expected&... expected) {
  return invalid(name, " is NULL, expected ", expected...);
}

/// The error of a transform, or whatever else is `what`, that is no longer there.
inline Status lost(std::string_view what, std::string_view taken_by) {
  return error(StatusCode::failed_precondition, what, " was lost when ", taken_by, " ran out of memory");
}

/// The error of a function that needs init before it, if there was none.
template <class Object>
Status check_ready(const Object& object, std::string_view function) {
  if (object.ready) return {};
  return error(StatusCode::failed_precondition, function, " was called before a successful ", Object::kInit);
}

/// Calls body(), which returns a Status, on behalf of no transform or optimizer.
template <class Body>
gradstab_status run(Body body) noexcept {
  try {
    return finish(nullptr, body());
  } catch (...) {
    return finish_exception(nullptr);
  }
}

/// Calls body() on behalf of a transform or optimizer that the caller must have given.
template <class Object, class Body>
gradstab_status run_on(const Object* object, Body body) noexcept {
  try {
    if (object == nullptr) return finish(nullptr, null_argument(Object::kNoun, Object::kExpected));
    if (object->taken_by != nullptr) {
      return finish(object, lost(std::string("the ") + Object::kNoun, object->taken_by));
    }
    return finish(object, body());
  } catch (...) {
    return finish_exception(object);
  }
}

}  // namespace gradstab::c
