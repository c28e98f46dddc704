// What is behind an opaque gradstab_transform.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "gradstab/gradstab.h"
#include "gradstab/transform.hpp"

struct gradstab_transform {
  explicit gradstab_transform(gradstab::GradientTransform made)
      : transform(std::move(made)), name(transform.name()) {}

  gradstab::GradientTransform transform;
  std::string name;
  std::string backend;      ///< in use; empty before init
  bool ready = false;       ///< init has succeeded
  bool dismantled = false;  ///< a chain took it apart and then ran out of memory

  // Kept between steps, so that a step allocates nothing.
  std::vector<gradstab::TensorRef> gradients;
  std::vector<gradstab_tensor_report> tensors;
  std::vector<gradstab_tensor_report> rows;
  std::size_t row_count = 0;  ///< where a method works per row

  /// Makes these as long as the parameters need.
  void make_room() {
    gradients.resize(transform.parameters().size());
    tensors.resize(transform.parameters().size());
    rows.resize(row_count);
  }

  mutable std::string error;  ///< of the last call
};
