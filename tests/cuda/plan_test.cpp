// The plan: every element in one chunk, and as many launches for many tensors as for few.
#include "cuda/plan.hpp"

#include <gtest/gtest.h>

#include <map>

#include "cuda/engine.hpp"
#include "support/gradients.hpp"

namespace gradstab::device {
namespace {

using testing::parameter_set_of_sizes;

/// Elements of each tensor that chunks cover, in the order of a segment's chunks; -1 where they overlap,
/// leave gaps or cross the end of a segment.
std::vector<std::int64_t> covered(const Plan& plan) {
  std::vector<std::int64_t> elements(plan.tensors.size(), 0);
  for (std::size_t t = 0; t < plan.tensors.size(); ++t) {
    const TensorPlan& tensor = plan.tensors[t];
    for (std::uint32_t s = 0; s < tensor.segment_count; ++s) {
      const Segment& segment = plan.segments[tensor.first_segment + s];
      std::int64_t in_segment = 0;
      for (std::uint32_t c = 0; c < segment.chunk_count; ++c) {
        const Chunk& chunk = plan.chunks[segment.first_chunk + c];
        const bool fits = chunk.tensor == t && chunk.segment == tensor.first_segment + s &&
                          chunk.begin == elements[t] && chunk.count > 0 && chunk.count <= kChunkElements;
        if (!fits) return {-1};
        elements[t] += chunk.count;
        in_segment += chunk.count;
      }
      if (in_segment != tensor.segment_elements()) return {-1};
    }
  }
  return elements;
}

TEST(CudaPlan, EveryElementIsInOneChunk) {
  const auto parameters =
      parameter_set_of_sizes({{}, {0}, {1}, {kChunkElements}, {kChunkElements + 1}, {3, 5, 7000}, {0, 4}});
  const auto plan = make_plan(parameters, {}, {}).value();
  EXPECT_EQ(covered(plan),
            (std::vector<std::int64_t>{1, 0, 1, kChunkElements, kChunkElements + 1, 105000, 0}));
  ASSERT_EQ(plan.ranges.size(), 1u);
  EXPECT_EQ(plan.ranges[0].chunk_count, plan.chunks.size());
}

TEST(CudaPlan, TheCheckSeesAGap) {
  auto plan = make_plan(parameter_set_of_sizes({{2 * kChunkElements}}), {}, {}).value();
  plan.chunks[1].begin += 1;
  EXPECT_EQ(covered(plan), std::vector<std::int64_t>{-1});
}

TEST(CudaPlan, LargeTensorsCountIn64Bits) {
  const std::int64_t elements = (std::int64_t{1} << 33) + 5;
  const auto plan = make_plan(parameter_set_of_sizes({{elements}}), {}, {}).value();
  EXPECT_EQ(covered(plan), std::vector<std::int64_t>{elements});
}

TEST(CudaPlan, MoreChunksThanALaunchHasBlocksAreRefused) {
  const std::int64_t elements = std::int64_t{1} << 47;
  const auto plan = make_plan(parameter_set_of_sizes({{elements}}), {}, {});
  EXPECT_EQ(plan.status().code(), StatusCode::unsupported);
}

TEST(CudaPlan, UnitsAreSegmentsAndTensorsOfOneRuleAreNeighbours) {
  const auto parameters = parameter_set_of_sizes({{4, 20000}, {7}, {6, 2}});
  std::vector<ParameterRule> rules(3);
  rules[0] = {.rule = UpdateRule::momentum, .pieces = 4, .unit_moments = true, .units = 4};
  rules[1] = {.rule = UpdateRule::adam};
  rules[2] = {.rule = UpdateRule::momentum, .pieces = 6, .unit_moments = true, .units = 6};
  const std::vector<std::size_t> group_of = {0, 1, 0};
  const auto plan = make_plan(parameters, rules, group_of).value();
  EXPECT_EQ(covered(plan), (std::vector<std::int64_t>{80000, 7, 12}));
  ASSERT_EQ(plan.ranges.size(), 2u);
  EXPECT_EQ(plan.ranges[0].rule, UpdateRule::momentum);
  EXPECT_EQ(plan.ranges[0].chunk_count, 8u + 6u);
  EXPECT_EQ(plan.ranges[1].rule, UpdateRule::adam);
  EXPECT_EQ(plan.ranges[1].first_chunk, 14u);
  EXPECT_EQ(plan.ranges[1].chunk_count, 1u);
  EXPECT_EQ(plan.tensors[1].group, 1u);
}

/// Launches of one step over that many tensors.
std::uint64_t launches_over(std::size_t tensors) {
  const auto parameters = parameter_set_of_sizes(std::vector<std::vector<std::int64_t>>(tensors, {3}));
  const StabilizerOptions options;
  EngineSetup setup;
  setup.parameters = &parameters;
  setup.stabilizer.options = &options;
  DeviceEngine engine;
  engine.bind(emulated_device(), setup).check();
  std::vector<float> memory(3 * tensors, 1.0f);
  std::vector<TensorRef> gradients(tensors);
  for (std::size_t t = 0; t < tensors; ++t) {
    gradients[t].data = memory.data() + 3 * t;
    gradients[t].sizes = parameters[t].sizes;
    gradients[t].device = DeviceType::cuda;
  }
  engine.prepare({}, gradients, nullptr).check();
  const std::uint64_t before = engine.device().counts().launches;
  engine.measure(nullptr).check();
  engine.finish(nullptr).check();
  return engine.device().counts().launches - before;
}

TEST(CudaPlan, ManyTensorsTakeAsManyLaunchesAsFew) {
  EXPECT_EQ(launches_over(10), 3u);
  EXPECT_EQ(launches_over(10'000), 3u);
}

}  // namespace
}  // namespace gradstab::device
