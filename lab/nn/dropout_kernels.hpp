// Dropout keyed by a counter on plain memory, without torch.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::nn {

/// The kernels of one instruction set; Scalar is float or double. Results do not depend on the number of
/// threads.
template <class Scalar>
struct DropoutKernels {
  /// y[i] = x[i] * scale where `rule` keeps i, else 0. `count` is at most kMostCounterElements; y may be x.
  void (*dropout)(const Scalar* x, std::int64_t count, DropRule rule, Scalar* y);
};

/// The best that this processor can run.
template <class Scalar>
const DropoutKernels<Scalar>& dropout_kernels() noexcept;

/// All builds that this processor can run, the best one last; for tests.
template <class Scalar>
std::vector<const DropoutKernels<Scalar>*> all_dropout_kernels();

}  // namespace gradstab::lab::nn
