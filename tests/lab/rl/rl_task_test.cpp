// The task in an environment of the tests: state, evaluation, threads.
#include "lab/rl/rl_task.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "lab/rl/policy.hpp"
#include "lab/rl/rl_kind.hpp"
#include "lab/rl/rl_settings.hpp"
#include "tests/lab/rl/toy_environment.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

/// Two environments of eight steps, two passes of four minibatches: a collect every eighth update.
TrainOptions small(int threads = 1, std::uint64_t seed = 1) {
  TrainOptions options = default_options(rl_kind());
  for (const auto& [key, value] :
       {std::pair("environments", "2"), std::pair("horizon", "8"), std::pair("passes", "2"),
        std::pair("width", "8"), std::pair("batch", "4"), std::pair("evaluation_episodes", "3")})
    set_setting(options, key, value).check();
  options.threads = threads;
  options.seed = seed;
  return options;
}

std::unique_ptr<Task> task_of(const TrainOptions& options, const LineRules& rules = {.time_limit = 5}) {
  return make_rl_task_in(std::make_unique<LineEnvironment>(rules), options, "none");
}

/// As the trainer asks for it.
Tensor loss_of(Task& task, std::uint64_t index) {
  task.prepare(index);
  return task.training_loss(index);
}

void update(Task& task, std::uint64_t index) {
  const Tensor loss = loss_of(task, index);
  loss.backward();
  const torch::NoGradGuard no_grad;
  for (Tensor& parameter : task.model().parameters()) {
    parameter -= 0.01 * parameter.grad();
    parameter.mutable_grad() = Tensor();
  }
}

void run(Task& task, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t index = from; index < to; ++index) update(task, index);
}

/// All numbers of the model.
std::vector<float> weights(Task& task) {
  std::vector<float> list;
  for (const auto& item : task.model().named_parameters()) {
    const Tensor flat = item.value().detach().contiguous();
    list.insert(list.end(), flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
  }
  return list;
}

/// What a checkpoint has of the task, by names, as bytes.
std::map<std::string, std::string> bytes_of(const Task& task) {
  CheckpointFiller filler;
  StateWriter writer(filler);
  task.save(writer).check();
  const Checkpoint& checkpoint = filler.checkpoint();
  std::map<std::string, std::string> found;
  found["values"] = checkpoint.header.dump();
  for (const auto& [name, tensor] : checkpoint.tensors) found[name] = std::string(tensor.bytes);
  for (const auto& [name, blob] : checkpoint.blobs) found[name] = std::string(blob);
  return found;
}

/// Gives `to` weights and state of `from`.
Status hand_over(Task& from, Task& to) {
  CheckpointFiller filler;
  StateWriter writer(filler);
  from.save(writer).check();
  CheckpointLoader loader(filler.checkpoint());
  StateReader reader(filler.checkpoint(), loader);
  if (const Status loaded = to.load(reader); !loaded.ok()) return loaded;
  loader.load();
  const torch::NoGradGuard no_grad;
  const auto theirs = from.model().named_parameters();
  for (auto& item : to.model().named_parameters()) item.value().copy_(theirs[item.key()]);
  return {};
}

TEST(RlTaskTest, GoesOnBitForBitFromAnyUpdate) {
  constexpr std::uint64_t kEnd = 21;
  auto whole = task_of(small());
  run(*whole, 0, kEnd);
  // After the first update of a pass, in its middle, at the borders of passes and collects.
  for (const std::uint64_t stop : {1, 2, 4, 6, 8, 9, 16, 19}) {
    SCOPED_TRACE(stop);
    auto before = task_of(small());
    run(*before, 0, stop);
    auto after = task_of(small());
    ASSERT_TRUE(hand_over(*before, *after).ok());
    EXPECT_EQ(bytes_of(*after), bytes_of(*before));
    EXPECT_EQ(after->evaluate(Extent::full).values, before->evaluate(Extent::full).values)
        << "with the observations' statistics";
    run(*after, stop, kEnd);
    EXPECT_EQ(weights(*after), weights(*whole));
    EXPECT_EQ(bytes_of(*after), bytes_of(*whole));
  }
  auto without = task_of(small());
  run(*without, 0, 9);
  auto fresh = task_of(small());
  const torch::NoGradGuard no_grad;
  const auto theirs = without->model().named_parameters();
  for (auto& item : fresh->model().named_parameters()) item.value().copy_(theirs[item.key()]);
  EXPECT_NE(fresh->evaluate(Extent::full).values, without->evaluate(Extent::full).values)
      << "the control: weights without the state are another policy";
}

TEST(RlTaskTest, EvaluationChangesNothing) {
  auto task = task_of(small()), undisturbed = task_of(small());
  for (std::uint64_t index = 0; index < 20; ++index) {
    const auto before = bytes_of(*task);
    const auto weights_before = weights(*task);
    const auto values = task->evaluate(index % 2 == 0 ? Extent::quick : Extent::full).values;
    EXPECT_EQ(bytes_of(*task), before);
    EXPECT_EQ(weights(*task), weights_before);
    EXPECT_EQ(task->evaluate(Extent::quick).values, values) << "the same again";
    update(*task, index);
    update(*undisturbed, index);
    EXPECT_NE(bytes_of(*task), before) << "the control: an update is seen";
  }
  EXPECT_EQ(bytes_of(*task), bytes_of(*undisturbed));
}

TEST(RlTaskTest, EvaluationsDrawAnewAndFromTheSameStarts) {
  auto task = task_of(small());
  const auto first = task->evaluate(Extent::full).values;
  const auto kept = weights(*task);
  (void)loss_of(*task, 0);
  ASSERT_EQ(weights(*task), kept);
  EXPECT_NE(task->evaluate(Extent::full).values[0], first[0]);
  EXPECT_EQ(first[2], 5.0) << "steps of an episode";
}

TEST(RlTaskTest, IsTheSameForAnyNumberOfThreads) {
  auto one = task_of(small(1)), three = task_of(small(3)), other = task_of(small(1, 2));
  for (Task* task : {one.get(), three.get(), other.get()}) run(*task, 0, 20);
  EXPECT_EQ(weights(*one), weights(*three));
  EXPECT_EQ(bytes_of(*one), bytes_of(*three));
  EXPECT_EQ(one->evaluate(Extent::full).values, three->evaluate(Extent::full).values);
  EXPECT_EQ(one->info().uninformed, three->info().uninformed);
  EXPECT_NE(weights(*one), weights(*other)) << "the control: another seed";
}

TEST(RlTaskTest, CountsEveryEnvironmentStepOnce) {
  auto task = task_of(small());
  EXPECT_EQ(task->updates_per_epoch(), 8);
  EXPECT_EQ(task->updates_per_cycle(), 8);
  std::int64_t samples = 0;
  for (std::uint64_t index = 0; index < 24; ++index) samples += task->samples(index);
  EXPECT_EQ(samples, 3 * 16);
}

TEST(RlTaskTest, TheScoreOfRandomActionsIsThatOfUniformOnes) {
  auto task = task_of(small());
  // By hand: places near 5.5 + uniform sums, second actions near 0: about -0.55 a step, five steps.
  EXPECT_NEAR(task->info().uninformed, -2.75, 1.0);
  EXPECT_LT(task->info().uninformed, 0.0);
}

TEST(RlTaskTest, TheStateOfAnotherEnvironmentIsRefused) {
  auto task = task_of(small());
  run(*task, 0, 3);
  CheckpointFiller filler;
  StateWriter writer(filler);
  ASSERT_TRUE(task->save(writer).ok());
  filler.header()["task_state"][kEnvironmentKey] = "Hopper-v4";
  CheckpointLoader loader(filler.checkpoint());
  StateReader reader(filler.checkpoint(), loader);
  const Status status = task_of(small())->load(reader);
  EXPECT_EQ(status.code(), StatusCode::shape_mismatch);
  EXPECT_THAT(status.message(), HasSubstr("it was trained in Hopper-v4, and not in Line-v0"));
  TrainOptions larger = small();
  ASSERT_TRUE(set_setting(larger, "environments", "4").ok());
  EXPECT_FALSE(hand_over(*task, *task_of(larger)).ok());
}

TEST(RlTaskTest, APolicyThatIsNoNumberHasNoReturnAndCannotGoOn) {
  auto task = task_of(small());
  {
    const torch::NoGradGuard no_grad;
    task->model().named_parameters()["actor.4.bias"].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_TRUE(std::isnan(task->evaluate(Extent::full).values[0]));
  EXPECT_TRUE(is_diverged(task->info(), task->evaluate(Extent::full).values[0]));
  EXPECT_THROW(loss_of(*task, 0), Error);
}

TEST(RlTaskTest, LearnsToMoveThePoint) {
  // The reward is the distance of the place from the second action: pushing left helps, and acting high.
  TrainOptions options = small();
  ASSERT_TRUE(set_setting(options, "horizon", "64").ok());
  ASSERT_TRUE(set_setting(options, "passes", "4").ok());
  ASSERT_TRUE(set_setting(options, "batch", "32").ok());
  auto task = task_of(options, {.time_limit = 10, .jump = -1000.0});
  const double before = task->evaluate(Extent::full).values[0];
  run(*task, 0, static_cast<std::uint64_t>(100 * task->updates_per_epoch()));
  const double after = task->evaluate(Extent::full).values[0];
  EXPECT_GT(after, before + 0.3 * std::abs(before)) << before << " before, " << after << " after";
}

}  // namespace
}  // namespace gradstab::lab::rl
