// The inside of an optimizer, for devices, which keep its state elsewhere.
#pragma once

#include "core/optimizer/optimizer_impl.hpp"

namespace gradstab {

struct OptimizerAccess {
  using Impl = Optimizer::Impl;
  static Impl& inside(Optimizer& optimizer) noexcept { return *optimizer.impl_; }
};

}  // namespace gradstab
