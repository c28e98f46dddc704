// One training in C and in C++, compared bit by bit.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/training.hpp"
#include "optimizer_support.hpp"

namespace gradstab::testing {

using MakeFront = std::optional<GradientTransform> (*)();

inline std::optional<GradientTransform> no_front() {
  return std::nullopt;
}
inline std::optional<GradientTransform> stabilize_front() {
  return stabilize();
}
inline std::optional<GradientTransform> chain_front() {
  return chain(clip_by_global_norm(1.0), stabilize());
}

/// What stands in front, in C.
inline gradstab_transform* c_front(MakeFront front) {
  if (front == no_front) return nullptr;
  if (front == stabilize_front) return make_stabilizer().release();
  gradstab_transform* const links[] = {make_clipper(1.0).release(), make_stabilizer().release()};
  gradstab_transform* chained = nullptr;
  EXPECT_TRUE(accepted(gradstab_chain(links, 2, &chained)));
  return chained;
}

/// One way to train, in both languages.
struct Case {
  OptimizerOptions options = AdamOptions{};
  MakeFront front = stabilize_front;
  DType parameters = DType::float32;
  DType gradients = DType::float32;
  LowPrecision low_precision = LowPrecision::master_copy;
  std::uint64_t seed = 0;
  std::vector<OptimizerGroup> groups = {};
  double size = 1.0;  ///< of gradients
};

inline std::vector<gradstab_tensor> as_c(std::span<const TensorRef> refs) {
  std::vector<gradstab_tensor> tensors;
  for (const TensorRef& ref : refs) {
    gradstab_tensor tensor = {};
    tensor.data = ref.data;
    tensor.dtype = static_cast<gradstab_dtype>(ref.dtype);
    tensor.rank = ref.sizes.size();
    tensor.sizes = ref.sizes.data();
    tensor.strides = ref.strides.empty() ? nullptr : ref.strides.data();
    tensors.push_back(tensor);
  }
  return tensors;
}

/// A Training whose optimizer is one of the C interface.
struct CTraining {
  explicit CTraining(const Case& c)
      : set(small_model()), weights(set, c.parameters), gradients(set, c.gradients) {
    optimizer = make_optimizer(c.options, c_front(c.front));
    std::vector<gradstab_parameter> parameters;
    for (const Parameter& parameter : set)
      parameters.push_back({parameter.name.c_str(), parameter.sizes.size(), parameter.sizes.data()});
    std::vector<std::unique_ptr<COptions>> options;
    std::vector<gradstab_optimizer_group> groups;
    for (const OptimizerGroup& group : c.groups) {
      options.push_back(std::make_unique<COptions>(group.options));
      groups.push_back({options.back()->base(), group.parameters.data(), group.parameters.size()});
    }
    gradstab_optimizer_run_options run = optimizer_run_options();
    run.low_precision = static_cast<gradstab_low_precision>(c.low_precision);
    run.seed = c.seed;
    EXPECT_TRUE(accepted(gradstab_optimizer_init(get(), parameters.data(), parameters.size(), &run,
                                                 groups.data(), groups.size()),
                         get()));
  }

  gradstab_optimizer* get() const { return optimizer.get(); }

  std::vector<std::byte> weight_bytes() const {
    std::vector<std::byte> result;
    for (std::size_t i = 0; i < set.size(); ++i)
      result.insert(result.end(), weights.bytes(i).begin(), weights.bytes(i).end());
    return result;
  }

  ParameterSet set;
  Gradients weights;
  Gradients gradients;
  OptimizerHandle optimizer;
};

inline Training cpp_training(const Case& c) {
  return {small_model(), c.parameters, c.gradients,
          c.options,     c.front(),    {.low_precision = c.low_precision, .seed = c.seed},
          c.groups};
}

inline void expect_same(const gradstab_tensor_report& c, const TensorReport& expected) {
  EXPECT_EQ(c.raw_norm, expected.raw_norm);
  EXPECT_EQ(c.norm, expected.norm());
  EXPECT_EQ(c.factor, expected.factor);
  EXPECT_EQ(c.present, expected.present);
  EXPECT_EQ(c.finite, expected.finite);
  EXPECT_EQ(c.spike, expected.spike);
  EXPECT_EQ(c.zeroed, expected.zeroed);
}

inline void expect_same(const gradstab_step_report& c, const StepReport& expected) {
  EXPECT_EQ(c.step, expected.step);
  EXPECT_EQ(c.raw_global_norm, expected.raw_global_norm);
  EXPECT_EQ(c.global_norm, expected.global_norm);
  EXPECT_EQ(c.spikes, expected.spikes);
  EXPECT_EQ(c.nonfinite, expected.nonfinite);
  ASSERT_EQ(c.tensor_count, expected.tensors.size());
  for (std::size_t t = 0; t < c.tensor_count; ++t) expect_same(c.tensors[t], expected.tensors[t]);
}

inline bool same_bytes(const std::vector<unsigned char>& c, const std::vector<std::byte>& cpp) {
  return c.size() == cpp.size() && std::memcmp(c.data(), cpp.data(), c.size()) == 0;
}

inline constexpr int kSteps = 30;

/// A learning rate for every step.
inline double scheduled(int step) {
  return 0.02 / (1.0 + 0.1 * step);
}

/// Trains in C and in C++; in every third step a learning rate is set, now and then a gradient is absent.
/// Where the two agree, so do reports and, in the end, the states. Returns the steps after which weights
/// differ.
inline int steps_that_differ(const Case& in_c, const Case& in_cpp) {
  CTraining c(in_c);
  Training cpp = cpp_training(in_cpp);
  c.weights.set_all(cpp.weights.values());
  std::mt19937_64 random(7);
  int different = 0;
  for (int step = 1; step <= kSteps; ++step) {
    auto values = random_gradients(random, c.set);
    for (Values& tensor : values)
      for (double& value : tensor) value *= in_c.size;
    c.gradients.set_all(values);
    cpp.gradients.set_all(values);
    if (step % 4 == 0) {
      c.gradients.set_absent(static_cast<std::size_t>(step) % c.set.size());
      cpp.gradients.set_absent(static_cast<std::size_t>(step) % c.set.size());
    }
    if (step % 3 == 0) {
      EXPECT_TRUE(accepted(gradstab_optimizer_set_lr(c.get(), scheduled(step)), c.get()));
      EXPECT_TRUE(cpp.optimizer.set_lr(scheduled(step)).ok());
    }
    const auto before = c.gradients.values();
    gradstab_step_report report = empty_report();
    const auto weights = as_c(c.weights.refs());
    const auto gradients = as_c(c.gradients.refs());
    EXPECT_TRUE(accepted(
        gradstab_optimizer_step(c.get(), weights.data(), gradients.data(), c.set.size(), step, &report),
        c.get()));
    const auto expected = cpp.optimizer.step(cpp.weights.refs(), cpp.gradients.refs(), step);
    EXPECT_TRUE(expected.ok()) << expected.status().message();
    EXPECT_EQ(c.gradients.values(), before) << "gradients are not written";
    const bool same = c.weight_bytes() == cpp.weight_bytes();
    different += same ? 0 : 1;
    if (same && expected) expect_same(report, *expected);
  }
  for (const Values& values : c.weights.values())
    for (const double value : values) EXPECT_TRUE(std::isfinite(value));
  if (different == 0) {
    EXPECT_TRUE(same_bytes(saved(c.get()), cpp.optimizer.save().value()));
  }
  return different;
}

inline int steps_that_differ(const Case& both) {
  return steps_that_differ(both, both);
}

}  // namespace gradstab::testing
