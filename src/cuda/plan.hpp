// Plan: how the elements of all parameters are cut into segments and chunks. Fixed by shapes and rules alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/cuda/tables.hpp"
#include "core/optimizer/optimizer_rule.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab::device {

/// Chunks of the tensors that one rule updates.
struct RuleRange {
  UpdateRule rule = UpdateRule::plain;
  std::uint32_t first_chunk = 0;
  std::uint32_t chunk_count = 0;
};

struct Plan {
  std::vector<TensorPlan> tensors;
  std::vector<Segment> segments;
  std::vector<Chunk> chunks;
  std::vector<RuleRange> ranges;  ///< in the order of the rules; one where gradients are only scaled
};

/// `rules` and `group_of` have one entry per parameter, or none where gradients are only scaled. Errors: more
/// chunks than a launch can have blocks.
Result<Plan> make_plan(const ParameterSet& parameters, std::span<const ParameterRule> rules,
                       std::span<const std::size_t> group_of);

}  // namespace gradstab::device
