// The same training on the CPU and on an emulated device.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "cuda/emulated.hpp"
#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// How parameters and gradients are stored.
struct DeviceTypes {
  DType parameter;
  DType gradient;
  LowPrecision low_precision;
};

inline constexpr DeviceTypes kDeviceTypes[] = {
    {DType::float32, DType::float32, LowPrecision::master_copy},
    {DType::float32, DType::bfloat16, LowPrecision::master_copy},
    {DType::bfloat16, DType::bfloat16, LowPrecision::master_copy},
    {DType::bfloat16, DType::float16, LowPrecision::stochastic_rounding},
    {DType::bfloat16, DType::float32, LowPrecision::stochastic_rounding}};

/// The same training on the CPU and on an emulated device.
struct DevicePair {
  DevicePair(const Kind& chosen, DType parameter_dtype, DType gradient_dtype,
             LowPrecision low_precision = LowPrecision::master_copy, bool stabilizes = true,
             NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor)
      : host(small_model(), parameter_dtype, gradient_dtype, chosen.options, transform(stabilizes),
             {.run = {.nonfinite = nonfinite}, .low_precision = low_precision, .seed = 5}),
        weights(host.weights),
        gradients(host.gradients),
        device(chosen.options, transform(stabilizes)) {
    move_refs(weights);
    move_refs(gradients);
    cuda::DeviceOptions options = emulated(nonfinite);
    options.low_precision = low_precision;
    options.seed = 5;
    device.init(small_model(), options).check();
  }

  static std::optional<GradientTransform> transform(bool stabilizes) {
    if (!stabilizes) return std::nullopt;
    return stabilize(StabilizerOptions::robust());
  }
  /// A copy's references still point into what it was copied from.
  static void move_refs(Gradients& copy) {
    for (std::size_t t = 0; t < copy.refs().size(); ++t) copy.set(t, copy.values(t));
    for (std::size_t t = 0; t < copy.refs().size(); ++t)
      copy.mutable_refs()[t].data = const_cast<std::byte*>(copy.bytes(t).data());
  }

  void step(const std::vector<Values>& values) {
    host.step(values);
    gradients.set_all(values);
    device.step(on_device(weights.refs()), on_device(gradients.refs())).check();
  }

  void expect_same_bits(const std::string& what) const {
    for (std::size_t t = 0; t < weights.refs().size(); ++t)
      ASSERT_EQ(weights.bytes(t), host.weights.bytes(t)) << what << ", parameter " << t;
  }

  Training host;
  Gradients weights;
  Gradients gradients;
  cuda::Optimizer device;
};

}  // namespace gradstab::testing
