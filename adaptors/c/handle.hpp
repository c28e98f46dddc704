// What is behind an opaque gradstab_transform and gradstab_optimizer.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "gradstab/optimizer.h"
#include "gradstab/optimizer.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::c {

/// What a tensor without gradient reports.
inline constexpr gradstab_tensor_report kAbsent{.raw_norm = 0.0,
                                                .norm = 0.0,
                                                .factor = 1.0,
                                                .present = 0,
                                                .finite = 1,
                                                .spike = 0,
                                                .zeroed = 0,
                                                .reserved = 0};

/// What both have in common.
struct Handle {
  mutable std::string name;
  std::string backend;             ///< in use; empty before init
  bool ready = false;              ///< init has succeeded
  const char* taken_by = nullptr;  ///< the maker that took it apart and then ran out of memory

  // Kept between steps, so that a step allocates nothing.
  std::vector<TensorRef> gradients;
  std::vector<gradstab_tensor_report> tensors;  ///< of the last step
  std::vector<gradstab_tensor_report> rows;
  std::size_t row_count = 0;  ///< where a method works per row

  mutable std::string error;  ///< of the last call
};

}  // namespace gradstab::c

struct gradstab_transform : gradstab::c::Handle {
  static constexpr const char* kNoun = "transform";
  static constexpr const char* kExpected = "a transform";
  static constexpr const char* kInit = "gradstab_init";

  explicit gradstab_transform(gradstab::GradientTransform made) : object(std::move(made)) {
    name = object.name();
  }

  gradstab::GradientTransform object;

  /// Makes the lists as long as the parameters need.
  void make_room() {
    gradients.resize(object.parameters().size());
    tensors.resize(object.parameters().size(), gradstab::c::kAbsent);
    rows.resize(row_count);
  }
};

struct gradstab_optimizer : gradstab::c::Handle {
  static constexpr const char* kNoun = "optimizer";
  static constexpr const char* kExpected = "an optimizer";
  static constexpr const char* kInit = "gradstab_optimizer_init";

  explicit gradstab_optimizer(gradstab::Optimizer made) : object(std::move(made)) { name = object.name(); }

  gradstab::Optimizer object;
  std::vector<gradstab::TensorRef> parameters;  ///< of this step, as `gradients`

  /// Makes the lists as long as the parameters need.
  void make_room() {
    parameters.resize(object.parameters().size());
    gradients.resize(object.parameters().size());
    tensors.resize(object.parameters().size(), gradstab::c::kAbsent);
    rows.resize(row_count);
  }
};
