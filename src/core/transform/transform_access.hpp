// The inside of a transform: for tests, and for devices, which keep the state of a transform elsewhere.
#pragma once

#include "core/transform/transform_impl.hpp"

namespace gradstab {

struct TransformAccess {
  using Impl = GradientTransform::Impl;
  static Impl& inside(GradientTransform& transform) noexcept { return *transform.impl_; }

  /// Puts a backend of the caller's under an initialised transform, whose state starts afresh.
  static void use(GradientTransform& transform, const Backend& backend) {
    transform.impl_->backend = &backend;
    transform.impl_->bind().check();
  }
};

}  // namespace gradstab
