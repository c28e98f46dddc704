#include "core/step/step_plan.hpp"

#include <gtest/gtest.h>

#include "gradstab/tensor.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using Shapes = std::vector<std::vector<std::int64_t>>;

const Shapes kMixed = {{3},
                       {kBlockElements},
                       {},
                       {0, 5},
                       {kBlockElements + 1},
                       {kBlockElements - 1},
                       {2 * kBlockElements - 777},
                       {3, kBatchElements / 2},
                       {17},
                       {kBatchElements},
                       {1}};

struct PlanCase {
  bool one_batch;
  bool rows;
};

class StepPlanTest : public ::testing::TestWithParam<PlanCase> {
 protected:
  const ParameterSet parameters_ = testing::parameter_set_of_sizes(kMixed);
  const Segments segments_{parameters_, GetParam().rows};
  const StepPlan plan_ = make_step_plan(parameters_, segments_, GetParam().one_batch);
};

StepPlan plan_of(const ParameterSet& parameters, bool one_batch) {
  return make_step_plan(parameters, Segments(parameters, false), one_batch);
}

TEST_P(StepPlanTest, BlocksCoverEveryElementExactlyOnceInOrder) {
  ASSERT_EQ(plan_.segment_blocks.size(), segments_.count());
  std::size_t block = 0;
  for (std::size_t t = 0; t < parameters_.size(); ++t) {
    const IndexRange own = segments_.of_tensor(t);
    ASSERT_EQ(own.size(), GetParam().rows ? row_count(parameters_[t].sizes) : 1u);
    std::int64_t covered_by_tensor = 0;
    for (std::size_t s = own.begin; s < own.end; ++s) {
      ASSERT_EQ(plan_.segment_blocks[s].begin, block);
      std::int64_t covered = 0;
      for (; block < plan_.segment_blocks[s].end; ++block) {
        ASSERT_EQ(plan_.blocks[block].tensor, t);
        ASSERT_EQ(plan_.blocks[block].segment, s);
        ASSERT_EQ(plan_.blocks[block].begin, covered);
        ASSERT_GT(plan_.blocks[block].count, 0);
        ASSERT_LE(plan_.blocks[block].count, kBlockElements);
        covered += plan_.blocks[block].count;
      }
      covered_by_tensor += covered;
    }
    EXPECT_EQ(covered_by_tensor, element_count(parameters_[t].sizes)) << "tensor " << t;
  }
  EXPECT_EQ(block, plan_.blocks.size());
}

TEST_P(StepPlanTest, BlocksBeginAtMultiplesOfTheBlockSize) {
  for (const Block& block : plan_.blocks) EXPECT_EQ(block.begin % kBlockElements, 0);
}

TEST_P(StepPlanTest, BatchesCoverEveryTensorExactlyOnceAndTheirTasksEveryBlock) {
  std::size_t tensor = 0;
  std::size_t task = 0;
  std::size_t block = 0;
  for (const Batch& batch : plan_.batches) {
    ASSERT_EQ(batch.tensors.begin, tensor);
    ASSERT_GT(batch.tensors.end, tensor);
    EXPECT_EQ(batch.segments.begin, segments_.first()[batch.tensors.begin]);
    EXPECT_EQ(batch.segments.end, segments_.first()[batch.tensors.end]);
    ASSERT_EQ(batch.tasks.begin, task);
    for (; task < batch.tasks.end; ++task) {
      ASSERT_EQ(plan_.tasks[task].begin, block);
      ASSERT_GT(plan_.tasks[task].end, block);
      for (; block < plan_.tasks[task].end; ++block) {
        ASSERT_GE(plan_.blocks[block].tensor, batch.tensors.begin);
        ASSERT_LT(plan_.blocks[block].tensor, batch.tensors.end);
      }
    }
    tensor = batch.tensors.end;
  }
  EXPECT_EQ(tensor, parameters_.size());
  EXPECT_EQ(task, plan_.tasks.size());
  EXPECT_EQ(block, plan_.blocks.size());
}

TEST_P(StepPlanTest, ABatchFitsTheCacheUnlessOneTensorAloneDoesNot) {
  if (GetParam().one_batch) {
    EXPECT_EQ(plan_.batches.size(), 1u);
    return;
  }
  for (const Batch& batch : plan_.batches) {
    std::int64_t elements = 0;
    std::size_t tensors_with_elements = 0;
    for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
      elements += element_count(parameters_[t].sizes);
      tensors_with_elements += element_count(parameters_[t].sizes) > 0 ? 1 : 0;
    }
    EXPECT_TRUE(elements <= kBatchElements || tensors_with_elements == 1) << elements;
  }
}

INSTANTIATE_TEST_SUITE_P(All, StepPlanTest,
                         ::testing::Values(PlanCase{false, false}, PlanCase{true, false},
                                           PlanCase{false, true}, PlanCase{true, true}),
                         [](const auto& test) {
                           return std::string(test.param.one_batch ? "OneBatch" : "CacheSizedBatches") +
                                  (test.param.rows ? "OfRows" : "OfTensors");
                         });

TEST(StepPlanShapeTest, NoParametersGiveNoWork) {
  for (const bool one_batch : {false, true}) {
    const StepPlan plan = plan_of(ParameterSet(), one_batch);
    EXPECT_TRUE(plan.batches.empty());
    EXPECT_TRUE(plan.blocks.empty());
  }
}

TEST(StepPlanShapeTest, ManyTinyTensorsShareTasks) {
  const Shapes shapes(10000, {64});
  const StepPlan plan = plan_of(testing::parameter_set_of_sizes(shapes), true);
  EXPECT_EQ(plan.blocks.size(), 10000u);
  EXPECT_LE(plan.tasks.size(), 10u) << "64 elements are no task of their own";
}

TEST(StepPlanShapeTest, BlocksDoNotDependOnTheBatching) {
  const ParameterSet parameters = testing::parameter_set_of_sizes(kMixed);
  const StepPlan together = plan_of(parameters, true);
  const StepPlan apart = plan_of(parameters, false);
  ASSERT_EQ(together.blocks.size(), apart.blocks.size());
  for (std::size_t b = 0; b < together.blocks.size(); ++b) {
    EXPECT_EQ(together.blocks[b].tensor, apart.blocks[b].tensor);
    EXPECT_EQ(together.blocks[b].begin, apart.blocks[b].begin);
    EXPECT_EQ(together.blocks[b].count, apart.blocks[b].count);
  }
}

TEST(StepPlanShapeTest, MoreThan2To31ElementsAreCounted) {
  const std::int64_t count = (std::int64_t{1} << 32) + 5;
  const StepPlan plan = plan_of(testing::parameter_set_of_sizes({{count}}), false);
  EXPECT_EQ(plan.blocks.back().begin, std::int64_t{1} << 32);
  EXPECT_EQ(plan.blocks.back().count, 5);
}

}  // namespace
}  // namespace gradstab
