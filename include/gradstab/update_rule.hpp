// The element-wise part of an optimizer's step: what a backend does to one block of one parameter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gradstab/dtype.hpp"

namespace gradstab {

/// Element-wise rules. With g the gradient times `gradient_factor`, plus `l2` times the parameter:
///
///   plain      p <- keep p - step_size g
///   momentum   b <- beta1 b + weight1 g;            p <- keep p - step_size b
///   nesterov   the same b;                          p <- keep p - step_size (g + beta1 b)
///   adam       m <- beta1 m + weight1 g;  v <- beta2 v + weight2 g^2;
///              p <- keep p - step_size m / (root_factor sqrt(v) + epsilon)
///   amsgrad    the same m and v;  u <- max(u, v);   p as in adam with u in place of v
///   spam       where g^2 > threshold v, g becomes sign(g) sqrt(threshold v); then adam; p <- keep_after p
///   lion       p <- keep p - step_size sign(beta1 m + weight1 g);  m <- beta2 m + weight2 g
enum class UpdateRule : std::uint8_t { plain, momentum, nesterov, adam, amsgrad, spam, lion };

inline constexpr std::size_t kUpdateRuleCount = 7;
inline constexpr std::size_t kMaxStates = 3;

/// Element-wise state arrays of a rule: 0 to kMaxStates.
constexpr std::size_t state_count(UpdateRule rule) noexcept {
  switch (rule) {
    case UpdateRule::plain:
      return 0;
    case UpdateRule::momentum:
    case UpdateRule::nesterov:
    case UpdateRule::lion:
      return 1;
    case UpdateRule::adam:
    case UpdateRule::spam:
      return 2;
    case UpdateRule::amsgrad:
      return 3;
  }
  return 0;
}

/// The numbers of one step, the same for all elements of a block. Names as in UpdateRule.
struct UpdateScalars {
  double gradient_factor = 1.0;
  double l2 = 0.0;
  double keep = 1.0;
  double keep_after = 1.0;
  double step_size = 0.0;
  double beta1 = 0.0;
  double weight1 = 1.0;
  double beta2 = 0.0;
  double weight2 = 1.0;
  double root_factor = 1.0;
  double epsilon = 0.0;
  double threshold = 0.0;
};

/// How a parameter is stored.
enum class ParameterStorage : std::uint8_t {
  float32,              ///< parameter and states in float32
  float64,              ///< parameter and states in float64
  bfloat16_master,      ///< a float32 master copy is updated and rounded to the bfloat16 parameter
  bfloat16_stochastic,  ///< only the bfloat16 parameter, rounded up or down at random, unbiased
};

inline constexpr std::size_t kParameterStorageCount = 4;

/// One block: contiguous elements of a parameter with their gradient and states. No two arrays overlap; each
/// is aligned to its element type only.
struct UpdateBlock {
  UpdateRule rule = UpdateRule::plain;
  ParameterStorage storage = ParameterStorage::float32;
  DType gradient_dtype = DType::float32;  ///< float64 parameters have float64 gradients, no other has
  void* parameter = nullptr;              ///< float, double or BFloat16, as `storage` says
  float* master = nullptr;                ///< for bfloat16_master
  const void* gradient = nullptr;
  void* states[kMaxStates] = {};  ///< float, or double for float64 parameters
  std::size_t count = 0;
  std::uint32_t random_key = 0;  ///< for bfloat16_stochastic: differs from block to block and step to step
};

}  // namespace gradstab
