// For tests: the inside of a transform.
#pragma once

#include "core/transform_impl.hpp"

namespace gradstab {

struct TransformAccess {
  /// Puts a backend of the caller's under an initialised transform, whose state starts afresh.
  static void use(GradientTransform& transform, const Backend& backend) {
    transform.impl_->backend = &backend;
    transform.impl_->bind().check();
  }
};

}  // namespace gradstab
