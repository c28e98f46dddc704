// What a step runs on: the update rules, the kernels of one kind of machine, and the executor that runs their
// pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// Element-wise rules and the state arrays that each keeps, 0 to kMaxStates. With g the gradient times
/// `gradient_factor`, plus `l2` times the parameter:
///
///   plain      p <- keep p - step_size g
///   momentum   b <- beta1 b + weight1 g;            p <- keep p - step_size b
///   nesterov   the same b;                          p <- keep p - step_size (g + beta1 b)
///   adam       m <- beta1 m + weight1 g;  v <- beta2 v + weight2 g^2;
///              p <- keep p - step_size m / (root_factor sqrt(v) + epsilon)
///   amsgrad    the same m and v;  u <- max(u, v);   p as in adam with u in place of v
///   spam       where g^2 > threshold v, g becomes sign(g) sqrt(threshold v); then adam; p <- keep_after p
///   lion       p <- keep p - step_size sign(beta1 m + weight1 g);  m <- beta2 m + weight2 g
///
/// The one list of them. The enumeration, names, counts, the kernels of every backend and what tests go
/// through are made from it; the formula of each is Rule<UpdateRule::...> in
/// src/core/optimizer/update_rules-inl.hpp.
#define GRADSTAB_UPDATE_RULES(RULE) \
  RULE(plain, 0)                    \
  RULE(momentum, 1)                 \
  RULE(nesterov, 1)                 \
  RULE(adam, 2)                     \
  RULE(amsgrad, 3)                  \
  RULE(spam, 2)                     \
  RULE(lion, 1)

/// How a parameter is stored: the one list of storages, with the words for them in messages. Saved states
/// hold positions in this list, so new entries go to its end.
///
///   float32              parameter and states in float32
///   float64              parameter and states in float64
///   bfloat16_master      a float32 master copy is updated and rounded to the bfloat16 parameter
///   bfloat16_stochastic  only the bfloat16 parameter, rounded up or down at random, unbiased
#define GRADSTAB_PARAMETER_STORAGES(STORAGE)              \
  STORAGE(float32, "float32")                             \
  STORAGE(float64, "float64")                             \
  STORAGE(bfloat16_master, "bfloat16 with a master copy") \
  STORAGE(bfloat16_stochastic, "bfloat16 with stochastic rounding")

/// The numbers of one step, each with the value that it has if an optimizer does not set it. Named as in the
/// formulas above.
#define GRADSTAB_UPDATE_SCALARS(SCALAR) \
  SCALAR(gradient_factor, 1.0)          \
  SCALAR(l2, 0.0)                       \
  SCALAR(keep, 1.0)                     \
  SCALAR(keep_after, 1.0)               \
  SCALAR(step_size, 0.0)                \
  SCALAR(beta1, 0.0)                    \
  SCALAR(weight1, 1.0)                  \
  SCALAR(beta2, 0.0)                    \
  SCALAR(weight2, 1.0)                  \
  SCALAR(root_factor, 1.0)              \
  SCALAR(epsilon, 0.0)                  \
  SCALAR(threshold, 0.0)

// What the lists are made into.
#define GRADSTAB_LISTED_NAME(name, ...) name,
#define GRADSTAB_LISTED_TEXT(name, ...) #name,
#define GRADSTAB_LISTED_RULE(name, ...) UpdateRule::name,
#define GRADSTAB_LISTED_STATES(name, states) states,
#define GRADSTAB_LISTED_STORAGE(name, ...) ParameterStorage::name,
#define GRADSTAB_LISTED_MEMBER(name, value) double name = value;
#define GRADSTAB_LISTED_POINTER(name, ...) &UpdateScalars::name,

enum class UpdateRule : std::uint8_t { GRADSTAB_UPDATE_RULES(GRADSTAB_LISTED_NAME) };
enum class ParameterStorage : std::uint8_t { GRADSTAB_PARAMETER_STORAGES(GRADSTAB_LISTED_NAME) };

/// See GRADSTAB_UPDATE_SCALARS; the same for all elements of a block.
struct UpdateScalars {
  GRADSTAB_UPDATE_SCALARS(GRADSTAB_LISTED_MEMBER)
};

inline constexpr UpdateRule kUpdateRules[] = {GRADSTAB_UPDATE_RULES(GRADSTAB_LISTED_RULE)};
inline constexpr ParameterStorage kParameterStorages[] = {
    GRADSTAB_PARAMETER_STORAGES(GRADSTAB_LISTED_STORAGE)};
inline constexpr double UpdateScalars::*kUpdateScalars[] = {GRADSTAB_UPDATE_SCALARS(GRADSTAB_LISTED_POINTER)};

inline constexpr std::size_t kUpdateRuleCount = sizeof kUpdateRules / sizeof kUpdateRules[0];
inline constexpr std::size_t kParameterStorageCount =
    sizeof kParameterStorages / sizeof kParameterStorages[0];
inline constexpr std::size_t kMaxStates = 3;

/// Element-wise state arrays of a rule.
constexpr std::size_t state_count(UpdateRule rule) noexcept {
  constexpr std::size_t kCounts[] = {GRADSTAB_UPDATE_RULES(GRADSTAB_LISTED_STATES)};
  return kCounts[static_cast<std::size_t>(rule)];
}

/// The same at compile time.
template <UpdateRule kRule>
inline constexpr std::size_t kStateCount = state_count(kRule);

/// "plain", "momentum", ...
constexpr std::string_view to_string(UpdateRule rule) noexcept {
  constexpr std::string_view kNames[] = {GRADSTAB_UPDATE_RULES(GRADSTAB_LISTED_TEXT)};
  return kNames[static_cast<std::size_t>(rule)];
}

/// "float32", "float64", ...
constexpr std::string_view to_string(ParameterStorage storage) noexcept {
  constexpr std::string_view kNames[] = {GRADSTAB_PARAMETER_STORAGES(GRADSTAB_LISTED_TEXT)};
  return kNames[static_cast<std::size_t>(storage)];
}

#undef GRADSTAB_LISTED_NAME
#undef GRADSTAB_LISTED_TEXT
#undef GRADSTAB_LISTED_RULE
#undef GRADSTAB_LISTED_STATES
#undef GRADSTAB_LISTED_STORAGE
#undef GRADSTAB_LISTED_MEMBER
#undef GRADSTAB_LISTED_POINTER

/// One block: contiguous elements of a parameter with their gradient and states. No two arrays overlap; each
/// is aligned to its element type only.
struct UpdateBlock {
  UpdateRule rule = UpdateRule::plain;
  ParameterStorage storage = ParameterStorage::float32;
  DType gradient_dtype = DType::float32;  ///< float64 for float64 parameters, and only for them
  void* parameter = nullptr;              ///< float, double or BFloat16, as `storage` says
  float* master = nullptr;                ///< for bfloat16_master
  const void* gradient = nullptr;
  void* states[kMaxStates] = {};  ///< float, or double for float64 parameters
  std::size_t count = 0;
  std::uint32_t random_key = 0;  ///< for bfloat16_stochastic: differs from block to block and step to step
};

/// Kernels over contiguous host memory. They do not depend on settings; everything else is built from them.
///
/// Contract of all: `data` is aligned to its element type only; `count` may be 0; no allocation; the
/// result depends only on the values and the count, never on the alignment or the calling thread.
class GRADSTAB_API Backend {
 public:
  virtual ~Backend() = default;

  /// The name by which it is chosen: "reference", "cpu-avx2", ...
  virtual std::string_view name() const noexcept = 0;

  /// Whether this machine can run it.
  virtual bool supported() const noexcept = 0;

  /// Sum of squares, accumulated in double. SIMD backends first add the squares of two neighbouring 16-bit
  /// elements in float, with a relative error of at most 2^-24, and fall back to double where that could
  /// leave float's range. Exact range for float32 and narrower; float64 input whose squares leave the range
  /// of a double gives 0, a denormal or infinity, which the caller detects.
  virtual double squared_norm(const void* data, DType dtype, std::size_t count) const noexcept = 0;

  /// Largest absolute value, NaN if any element is NaN; 0 for no elements.
  virtual double max_abs(const void* data, DType dtype, std::size_t count) const noexcept = 0;

  /// data[i] <- data[i] * factor, computed in double (in float for 16-bit types where that rounds the same
  /// way) and rounded once.
  virtual void scale(void* data, DType dtype, std::size_t count, double factor) const noexcept = 0;

  /// data[i] <- data[i] * factor, or `limit` with its sign where that is larger in magnitude; computed in
  /// double and rounded once. NaN stays NaN, an infinity becomes `limit`.
  virtual void clamp(void* data, DType dtype, std::size_t count, double factor,
                     double limit) const noexcept = 0;

  /// An optimizer's update of one block. SIMD backends compute float32 and bfloat16 parameters in float32,
  /// one rounding per operation written in UpdateRule, so that all of them agree bit for bit; the reference
  /// computes in double and rounds what it stores. All backends do so if one of the scalars is finite, but
  /// neither 0 nor between 2^-126 and 2^127 in magnitude.
  virtual void update(const UpdateBlock& block, const UpdateScalars& scalars) const noexcept = 0;
};

/// Every backend of this build, the reference first and the fastest last. This machine may not support all of
/// them.
GRADSTAB_API std::span<const Backend* const> backends() noexcept;

/// The backend of that name. An empty name stands for the value of the environment variable GRADSTAB_BACKEND
/// or, without one, for the fastest supported backend. Errors: unknown name (lists the known ones), or not
/// supported by this machine.
GRADSTAB_API Result<const Backend*> find_backend(std::string_view name = {});

/// Runs independent tasks, possibly in parallel. An engine with threads of its own passes them in by
/// implementing this; two pools that compete for the same cores are slower than either.
class GRADSTAB_API Executor {
 public:
  using Task = void (*)(void* context, std::size_t index) noexcept;

  virtual ~Executor() = default;

  /// Threads that may run tasks at the same time, at least 1.
  virtual unsigned concurrency() const noexcept = 0;

  /// Calls task(context, i) once for every i in [0, count), in any order, and returns when all are done.
  virtual void run(std::size_t count, Task task, void* context) noexcept = 0;
};

/// Runs everything in the calling thread.
GRADSTAB_API std::shared_ptr<Executor> serial_executor();

/// A pool with `threads` threads, the calling one included. Errors: 0 threads, or the system refuses to start
/// one.
GRADSTAB_API Result<std::shared_ptr<Executor>> thread_pool(unsigned threads);

}  // namespace gradstab
