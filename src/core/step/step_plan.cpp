#include "core/step/step_plan.hpp"

#include <algorithm>
#include <limits>

#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

/// Cuts the blocks of a batch into tasks.
void add_tasks(StepPlan& plan, IndexRange blocks) {
  std::size_t begin = blocks.begin;
  std::int64_t elements = 0;
  for (std::size_t b = blocks.begin; b < blocks.end; ++b) {
    elements += plan.blocks[b].count;
    if (elements >= kBlockElements || b + 1 == blocks.end) {
      plan.tasks.push_back({begin, b + 1});
      begin = b + 1;
      elements = 0;
    }
  }
}

/// A batch is closed before the tensor that would take it past `batch_limit` elements; a limit below 0 closes
/// it after every tensor.
StepPlan make_plan(const ParameterSet& parameters, const Segments& segments, std::int64_t batch_limit) {
  StepPlan plan;
  std::size_t batch_first_tensor = 0;
  std::size_t batch_first_block = 0;
  std::int64_t batch_elements = 0;
  const auto close_batch = [&](std::size_t end_tensor) {
    if (end_tensor == batch_first_tensor) return;
    const std::size_t first_task = plan.tasks.size();
    add_tasks(plan, {batch_first_block, plan.blocks.size()});
    plan.batches.push_back({{batch_first_tensor, end_tensor},
                            {segments.first()[batch_first_tensor], segments.first()[end_tensor]},
                            {first_task, plan.tasks.size()}});
    batch_first_tensor = end_tensor;
    batch_first_block = plan.blocks.size();
    batch_elements = 0;
  };
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    const std::int64_t count = element_count(parameters[t].sizes);
    const bool full = batch_elements > 0 && count > batch_limit - batch_elements;
    if (full || batch_limit < 0) close_batch(t);
    const IndexRange own = segments.of_tensor(t);
    const std::int64_t segment_count = own.size() == 0 ? 0 : count / static_cast<std::int64_t>(own.size());
    for (std::size_t segment = own.begin; segment < own.end; ++segment) {
      const std::size_t first_block = plan.blocks.size();
      for (std::int64_t begin = 0; begin < segment_count; begin += kBlockElements) {
        plan.blocks.push_back({t, segment, begin, std::min(kBlockElements, segment_count - begin)});
      }
      plan.segment_blocks.push_back({first_block, plan.blocks.size()});
    }
    batch_elements += count;
  }
  close_batch(parameters.size());
  return plan;
}

}  // namespace

StepPlan make_step_plan(const ParameterSet& parameters, const Segments& segments, bool one_batch) {
  return make_plan(parameters, segments,
                   one_batch ? std::numeric_limits<std::int64_t>::max() : kBatchElements);
}

StepPlan make_plan_per_tensor(const ParameterSet& parameters, const Segments& segments) {
  return make_plan(parameters, segments, -1);
}

}  // namespace gradstab
