// StepPlan: how the elements of all parameters are cut into blocks, tasks and batches. Fixed by the shapes
// alone, so that every reduction has the same order whatever runs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/block_elements.hpp"
#include "core/step/segments.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// Elements that a batch may hold, unless one tensor alone has more. A batch is measured, decided and applied
/// before the next one is read, so that what was measured is still in cache when it is scaled.
inline constexpr std::int64_t kBatchElements = 512 * 1024;

/// Part of one segment.
struct Block {
  std::size_t tensor;
  std::size_t segment;
  std::int64_t begin;  // within the segment
  std::int64_t count;
};

struct Batch {
  IndexRange tensors;
  IndexRange segments;
  IndexRange tasks;
};

struct StepPlan {
  std::vector<Block> blocks;               // in the order of segments, then of elements
  std::vector<IndexRange> segment_blocks;  // blocks of each segment
  std::vector<IndexRange> tasks;           // blocks of each task: neighbours, about kBlockElements together
  std::vector<Batch> batches;  // in order; one holding everything where all norms are needed at once
};

StepPlan make_step_plan(const ParameterSet& parameters, const Segments& segments, bool one_batch);

/// The same blocks in one batch per tensor: batch t is tensor t.
StepPlan make_plan_per_tensor(const ParameterSet& parameters, const Segments& segments);

}  // namespace gradstab
