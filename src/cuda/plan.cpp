#include "cuda/plan.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/base/text.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab::device {
namespace {

constexpr std::int64_t kMostChunks = std::numeric_limits<std::int32_t>::max();

std::int64_t chunks_of(const TensorPlan& tensor) {
  const std::int64_t per_segment = (tensor.segment_elements() + kChunkElements - 1) / kChunkElements;
  return per_segment * static_cast<std::int64_t>(tensor.segment_count);
}

void add_chunks(Plan& plan, std::uint32_t tensor) {
  TensorPlan& whole = plan.tensors[tensor];
  const std::int64_t elements = whole.segment_elements();
  for (std::uint32_t s = 0; s < whole.segment_count; ++s) {
    const std::uint32_t segment = whole.first_segment + s;
    plan.segments[segment].first_chunk = static_cast<std::uint32_t>(plan.chunks.size());
    const std::int64_t begin = static_cast<std::int64_t>(s) * elements;
    for (std::int64_t at = 0; at < elements; at += kChunkElements) {
      const std::int64_t count = std::min(kChunkElements, elements - at);
      plan.chunks.push_back({begin + at, static_cast<std::uint32_t>(count), tensor, segment, 0});
      plan.segments[segment].chunk_count += 1;
    }
  }
  whole.filled_segments = elements > 0 ? whole.segment_count : 0;
}

}  // namespace

Result<Plan> make_plan(const ParameterSet& parameters, std::span<const ParameterRule> rules,
                       std::span<const std::size_t> group_of) {
  Plan plan;
  std::int64_t chunks = 0;
  std::int64_t segments = 0;
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    TensorPlan tensor;
    tensor.elements = element_count(parameters[t].sizes);
    tensor.first_segment = static_cast<std::uint32_t>(segments);
    if (!rules.empty()) {
      tensor.segment_count = static_cast<std::uint32_t>(rules[t].units);
      tensor.group = static_cast<std::uint32_t>(group_of[t]);
      tensor.decays = rules[t].decays;
      tensor.unit_moments = rules[t].unit_moments;
    }
    chunks += chunks_of(tensor);
    segments += static_cast<std::int64_t>(tensor.segment_count);
    if (chunks > kMostChunks || segments > kMostChunks) {
      return Status(StatusCode::unsupported,
                    detail::concat("parameters up to '", parameters[t].name, "' take ", chunks,
                                   " blocks and ", segments, " units, expected at most ", kMostChunks));
    }
    plan.tensors.push_back(tensor);
  }
  plan.segments.resize(static_cast<std::size_t>(segments));
  plan.chunks.reserve(static_cast<std::size_t>(chunks));

  // Tensors of one rule are neighbours, so that one launch per rule has them all.
  std::vector<std::uint32_t> order(parameters.size());
  std::iota(order.begin(), order.end(), std::uint32_t{0});
  const auto rule_of = [&](std::uint32_t t) { return rules.empty() ? UpdateRule::plain : rules[t].rule; };
  std::ranges::stable_sort(order, {}, rule_of);
  for (const std::uint32_t tensor : order) {
    const auto first = static_cast<std::uint32_t>(plan.chunks.size());
    add_chunks(plan, tensor);
    const std::uint32_t count = static_cast<std::uint32_t>(plan.chunks.size()) - first;
    if (plan.ranges.empty() || plan.ranges.back().rule != rule_of(tensor))
      plan.ranges.push_back({rule_of(tensor), first, 0});
    plan.ranges.back().chunk_count += count;
  }
  return plan;
}

}  // namespace gradstab::device
