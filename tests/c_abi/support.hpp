// What the tests of the C interface share.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/gradstab.h"

namespace gradstab::testing {

struct Destroy {
  void operator()(gradstab_transform* transform) const { gradstab_destroy(transform); }
};
using Handle = std::unique_ptr<gradstab_transform, Destroy>;

/// Transforms with default settings, not initialised.
Handle make_stabilizer();
Handle make_clipper(double max_norm);
Handle make_recorder();

/// "weight" of shape [2, 3] and "bias" of shape [2].
extern const gradstab_parameter kParameters[2];

/// A stabilizer of kParameters, under a non-finite policy.
Handle initialised(gradstab_nonfinite_policy policy = GRADSTAB_SKIP_TENSOR);

/// Gradients for kParameters.
struct Pair {
  std::vector<float> weight = {1, 2, 3, 4, 5, 6};
  std::vector<float> bias = {0.5f, -0.5f};
  void* pointers[2] = {weight.data(), bias.data()};
  gradstab_tensor tensors[2] = {};

  Pair();
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
};

/// `steps` steps of Pair's gradients.
void train(gradstab_transform* transform, int steps);

/// All state as bytes.
std::vector<unsigned char> saved(const gradstab_transform* transform);

/// A copy with one bit flipped.
std::vector<unsigned char> flipped(std::vector<unsigned char> bytes, std::size_t at, int bit);

gradstab_step_report empty_report();

/// Whether a call was refused with this status, and this message is kept with `transform`.
::testing::AssertionResult refused(gradstab_status got, gradstab_status expected,
                                   const gradstab_transform* transform, const std::string& message);

/// Whether a call succeeded, and left no message.
::testing::AssertionResult accepted(gradstab_status got, const gradstab_transform* transform = nullptr);

}  // namespace gradstab::testing
