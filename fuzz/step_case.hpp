// StepCase: a transform, parameters and steps over them, read from the fuzzer's bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "gradstab/transforms.hpp"
#include "input.hpp"
#include "support/strided_tensor.hpp"

namespace gradstab::fuzz {

/// One link of a chain, as data: it is made once per backend.
struct LinkCase {
  enum class Kind { stabilize, record_norms, clip } kind = Kind::stabilize;
  StabilizerOptions options = {};
  Units units = {};
  GlobalNormOptions clip = {};
};

struct StepCase {
  std::vector<LinkCase> links;
  std::vector<std::vector<std::int64_t>> sizes;  ///< of parameters "t0", "t1", ...
  NonFinitePolicy policy = NonFinitePolicy::skip_tensor;
  unsigned threads = 1;
  std::size_t steps = 1;

  GradientTransform make() const;
  bool per_row() const;
  bool needs_max_abs() const;
};

StepCase read_case(Input& input);

/// The gradient of one parameter in one step.
struct GradientCase {
  testing::StridedTensor tensor;
  bool present;
  bool sparse;
};

std::vector<GradientCase> read_gradients(Input& input, const StepCase& step_case);

}  // namespace gradstab::fuzz
