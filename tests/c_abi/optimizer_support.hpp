// What the tests of the optimizers of the C interface share.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gradstab/optimizer.h"
#include "gradstab/optimizer.hpp"
#include "optimizer_structs.hpp"
#include "support.hpp"

namespace gradstab::testing {

struct DestroyOptimizer {
  void operator()(gradstab_optimizer* optimizer) const { gradstab_optimizer_destroy(optimizer); }
};
using OptimizerHandle = std::unique_ptr<gradstab_optimizer, DestroyOptimizer>;

/// The defaults, as the init functions give them.
#define GRADSTAB_DEFAULTS(word, ...) gradstab_##word##_options word##_options();
#define GRADSTAB_WITH_PRESETS(word, ...) \
  gradstab_##word##_options word##_options(gradstab_##word##_preset preset = {});
GRADSTAB_C_OPTIMIZERS(GRADSTAB_DEFAULTS, GRADSTAB_WITH_PRESETS)
#undef GRADSTAB_DEFAULTS
#undef GRADSTAB_WITH_PRESETS

/// With one field changed.
template <class Options, class Value>
Options with(Options options, Value Options::*member, Value value) {
  options.*member = value;
  return options;
}

/// The C options of a kind of optimizer, with what they point to.
class COptions {
 public:
  explicit COptions(const OptimizerOptions& options);
  COptions(const COptions&) = delete;
  COptions& operator=(const COptions&) = delete;

  const gradstab_optimizer_options* base() const;
  gradstab_status make(gradstab_transform* transform, gradstab_optimizer** optimizer) const;

 private:
  std::vector<gradstab_adam_mini_override> overrides_;
  std::vector<std::string> patterns_;
  c::AnyOptimizerStruct value_;
};

/// Fails the test if the maker does.
OptimizerHandle make_optimizer(const OptimizerOptions& options, gradstab_transform* transform = nullptr);

gradstab_optimizer_run_options optimizer_run_options();

/// A stabilized AdamW of kParameters, under a non-finite policy.
OptimizerHandle initialised_optimizer(gradstab_nonfinite_policy policy = GRADSTAB_SKIP_TENSOR);

/// As gradstab_optimizer_name gives it.
std::string name_of(const gradstab_optimizer* optimizer);

/// The learning rate of a group.
double lr_of(const gradstab_optimizer* optimizer, std::size_t group = 0);

/// What is said of options whose kind is none of the library's.
std::string unknown_kind(int kind);

/// Parameters for kParameters; a Pair has the gradients.
struct Weights {
  std::vector<float> weight = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f};
  std::vector<float> bias = {-0.25f, 0.75f};
  void* pointers[2] = {weight.data(), bias.data()};
  gradstab_tensor tensors[2] = {};

  Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  bool operator==(const Weights& other) const { return weight == other.weight && bias == other.bias; }
};

/// `steps` steps of Pair's gradients.
void train(gradstab_optimizer* optimizer, Weights& weights, int steps);

/// All state as bytes.
std::vector<unsigned char> saved(const gradstab_optimizer* optimizer);

/// Whether a call was refused with this status, and this message is kept with `optimizer`.
::testing::AssertionResult refused(gradstab_status got, gradstab_status expected,
                                   const gradstab_optimizer* optimizer, const std::string& message);

/// The same of a call without an optimizer.
::testing::AssertionResult refused(gradstab_status got, gradstab_status expected, std::nullptr_t,
                                   const std::string& message);

/// Whether a call succeeded, and left no message.
::testing::AssertionResult accepted(gradstab_status got, const gradstab_optimizer* optimizer);

}  // namespace gradstab::testing
