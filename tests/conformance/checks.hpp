// What every transform must keep to on every backend and element type. Each check says what it saw.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "conformance/tensors.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::testing {

/// What a check is made on.
struct Subject {
  std::function<GradientTransform()> make;
  std::string backend;
  DType dtype;
  /// Single elements are changed, not whole tensors or rows by one factor.
  bool element_wise = false;

  /// For the controls that show that a check can fail: called after every update of gradients, with the
  /// number of the step and of the run; a check compares later runs with run 0.
  std::function<void(int run, int step, Tensors&)> tamper = {};
};

/// Every element is multiplied by the reported factor of its row or tensor and rounded once to its own type;
/// nothing beside it is written. Of element-wise methods only the latter, and that NaN is not made.
::testing::AssertionResult keeps_the_element_type(const Subject& subject);

/// Tensors of zeros of either sign come out bit for bit, among others and when all are zero.
::testing::AssertionResult leaves_zeros_unchanged(const Subject& subject);

/// The cosine between a row or tensor before and after is 1 within the rounding of its elements.
::testing::AssertionResult keeps_the_direction(const Subject& subject);

/// A model without parameters can be bound, stepped, saved and loaded.
::testing::AssertionResult accepts_no_parameters(const Subject& subject);

/// No gradients, or one too many, are an error that counts them.
::testing::AssertionResult refuses_another_number_of_gradients(const Subject& subject);

/// A tensor without a gradient is reported absent, and the others come out as if it had been zero.
::testing::AssertionResult leaves_absent_gradients_alone(const Subject& subject);

/// Saved and loaded into a fresh transform at any step, a run goes on bit for bit as if never interrupted.
::testing::AssertionResult resumes_exactly(const Subject& subject);

/// Neither the number of threads nor the alignment of the tensors changes a bit of gradients, report or
/// state.
::testing::AssertionResult is_deterministic(const Subject& subject);

/// After each refused call gradients and state are what they were, and the run goes on as if it had not been.
::testing::AssertionResult changes_nothing_on_errors(const Subject& subject);

}  // namespace gradstab::testing
