// What the kernels read and write: plain tables in device memory, laid out by the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>

#include "backends/cuda/plain_variant.hpp"
#include "core/base/block_elements.hpp"
#include "core/optimizer/step_scalars.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/options.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::device {

/// Threads of every block. Part of the order of summation: another number gives other last digits.
inline constexpr unsigned kThreads = 256;

/// Elements that one block works on, the unit of summation. 64 KiB of float32: small enough that the last
/// wave of blocks does not leave multiprocessors idle for long, large enough to hide what a block costs.
inline constexpr std::int64_t kChunkElements = 16 * 1024;

static_assert(kBlockElements % kChunkElements == 0,
              "the elements of a chunk share one key of stochastic rounding");

/// Part of one segment.
struct Chunk {
  std::int64_t begin = 0;  ///< its first element, counted from the tensor's first
  std::uint32_t count = 0;
  std::uint32_t tensor = 0;
  std::uint32_t segment = 0;
  std::uint32_t reserved = 0;
};

/// A tensor, or one of the equal parts in which Adam-mini measures it. Its chunks are neighbours.
struct Segment {
  std::uint32_t first_chunk = 0;
  std::uint32_t chunk_count = 0;
};

/// What of a tensor stays the same from step to step.
struct TensorPlan {
  std::int64_t elements = 0;
  std::uint32_t first_segment = 0;
  std::uint32_t segment_count = 1;
  std::uint32_t filled_segments = 0;  ///< segments that have chunks: all, or none of an empty tensor
  std::uint32_t group = 0;
  bool decays = true;         ///< Adam-mini: weight decay applies
  bool unit_moments = false;  ///< Adam-mini: one second moment per segment

  GRADSTAB_HOST_DEVICE std::int64_t segment_elements() const {
    return segment_count == 0 ? 0 : elements / static_cast<std::int64_t>(segment_count);
  }
};

/// Where a tensor is in this step. The only table that changes from step to step, and only if tensors move.
struct TensorAddress {
  void* gradient = nullptr;  ///< null: no gradient in this step
  void* parameter = nullptr;
  DType gradient_dtype = DType::float32;

  bool operator==(const TensorAddress&) const = default;
};

/// Optimizer state of a tensor, in the memory order of the parameter.
struct TensorState {
  float* states[kMaxStates] = {};
  float* master = nullptr;
  ParameterStorage storage = ParameterStorage::float32;
};

template <class Options>
struct GroupSettingsOf;
template <class... Options>
struct GroupSettingsOf<std::variant<Options...>> {
  using Type = PlainVariant<StepSettings<Options>...>;
};

/// Settings of one parameter group as the device reads them in every step: those of any optimizer.
using GroupSettings = GroupSettingsOf<OptimizerOptions>::Type;

/// What the decision leaves for the pass that writes.
struct TensorNumbers {
  UpdateScalars scalars;
  std::int64_t step = 0;         ///< of this parameter, this step included
  std::uint32_t resets = 0;      ///< state arrays that start afresh
  double unit_correction = 1.0;  ///< Adam-mini: 1 - beta2^step
};

/// A decision that the host has taken.
struct GivenDecision {
  double factor = 1.0;
  std::int32_t zeroed = 0;
  std::int32_t reserved = 0;
};

/// Counters of the whole transform or optimizer.
struct StepCounters {
  std::int64_t updates = 0;  ///< steps that were not skipped
  std::int32_t skip = 0;     ///< 1: this step changes nothing
  std::int32_t reserved = 0;
};

/// The tables of one transform or optimizer, passed to every kernel by value. Never changes between steps, so
/// that a captured graph may keep it.
struct Tables {
  std::uint32_t tensor_count = 0;
  std::uint32_t chunk_count = 0;
  bool measures = true;     ///< norms are asked for at all
  bool stabilizes = false;  ///< there are moments and a decision on them
  bool optimizes = false;   ///< gradients go into an update instead of being scaled
  bool has_empty = false;   ///< there are tensors without elements
  bool in_parts = false;    ///< squared norms are sums over processes, kNoGradient where none has a gradient
  NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor;
  std::uint64_t seed = 0;     ///< of stochastic rounding
  StabilizerOptions options;  ///< of the decision

  const Chunk* chunks = nullptr;
  const Segment* segments = nullptr;
  const TensorPlan* plans = nullptr;
  const TensorAddress* addresses = nullptr;
  const TensorState* states = nullptr;
  const GroupSettings* groups = nullptr;

  double* partials = nullptr;         ///< per chunk
  double* segment_squared = nullptr;  ///< per segment: squared norm
  double* tensor_squared = nullptr;   ///< per tensor: squared norm
  std::uint32_t* segment_arrivals = nullptr;
  std::uint32_t* tensor_arrivals = nullptr;

  const GivenDecision* given = nullptr;  ///< per tensor, where the host decides; else null
  NormMoments* moments = nullptr;        ///< per tensor
  std::int64_t* steps = nullptr;         ///< per tensor: steps in which it had a gradient
  double* unit_second[2] = {};           ///< per segment; a step reads the one and writes the other
  TensorNumbers* numbers = nullptr;      ///< per tensor
  TensorReport* reports = nullptr;       ///< per tensor
  StepCounters* counters = nullptr;
};

/// The blocks of one launch. Passes that write walk their chunks backwards: what was measured last is still
/// in the cache and comes first.
struct Launch {
  std::uint32_t blocks = 0;
  std::uint32_t first_chunk = 0;  ///< of a range of chunks: those that share a rule, or those of one tensor
  bool counts_step = false;       ///< the first block counts the step
  bool of_one = false;            ///< a step of one tensor alone, which the tables do not know the address of
  std::uint32_t tensor = 0;       ///< that one
  TensorAddress address = {};

  GRADSTAB_HOST_DEVICE const TensorAddress& address_of(const Tables& tables, std::uint32_t index) const {
    return of_one ? address : tables.addresses[index];
  }
};

}  // namespace gradstab::device
