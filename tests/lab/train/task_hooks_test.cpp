// What the trainer asks of a task beside batches and a loss: modes, groups, epochs, averages, selection,
// state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "lab/train/kept_weights.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/trainer.hpp"
#include "tests/lab/run/expect_events.hpp"

namespace gradstab::lab {
namespace {

/// Two weights, statistics that training mode moves, and a count of whole numbers, as BatchNorm has them.
struct Net : torch::nn::Module {
  torch::Tensor w, gain, mean, count;
  Net() {
    w = register_parameter("w", torch::tensor({1.0F, -2.0F}));
    gain = register_parameter("gain", torch::tensor({1.0F}));
    mean = register_buffer("mean", torch::zeros({2}));
    count = register_buffer("count", torch::zeros({}, torch::kLong));
  }
};

struct Seen {
  std::vector<bool> training;    // the model's mode at each training loss
  std::vector<bool> evaluating;  // the same at each evaluation
  std::vector<Extent> extents;
  std::vector<float> scored;  // w[0] at each evaluation
};

class HookedTask final : public Task {
 public:
  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return net_; }
  std::vector<ParameterGroup> groups() const override {
    if (!grouped) return {};
    return {{.parameters = {"gain"}, .weight_decay_scale = 0.0, .lr_scale = 0.5}};
  }
  std::int64_t updates_per_epoch() const noexcept override { return 4; }
  torch::Tensor training_loss(std::uint64_t index) override {
    seen.training.push_back(net_.is_training());
    if (net_.is_training()) {
      const torch::NoGradGuard no_grad;
      net_.mean.lerp_(net_.w, 0.25);
      net_.count += 1;
    }
    // State that neither index nor weights determine: it acts on the loss.
    if (index % 3 == 0) state_ = state_ * 1.5 + 1.0;
    return (net_.w * net_.w).sum() * (1.0 + 0.1 * std::fmod(state_, 3.0)) + (net_.gain - 2.0).square().sum() +
           (net_.w * net_.mean).sum() * 0.01;
  }
  std::int64_t updates_per_cycle() const noexcept override { return cycle; }
  std::int64_t samples(std::uint64_t index) const override { return index % 2 == 0 ? 3 : 1; }
  Evaluation evaluate(Extent extent) override {
    seen.evaluating.push_back(net_.is_training());
    seen.extents.push_back(extent);
    seen.scored.push_back(net_.w[0].item<float>());
    if (seen.extents.size() == dies_in_evaluation) throw Error(Status(StatusCode::io_error, "killed"));
    const double score = scores.empty() ? net_.w.norm().item<double>() : scores.at(seen.extents.size() - 1);
    return {{score}, Json::array({{{"kind", "table"}, {"title", "t"}}})};
  }
  bool has_test_part() const noexcept override { return tested; }
  Status save(StateWriter& writer) const override {
    writer.values() = {{"state", state_}};
    return writer.add("twice", torch::tensor({2.0 * state_}, torch::kDouble));
  }
  Status load(StateReader& reader) override {
    const JsonReader values = reader.values();
    state_ = values["state"].number();
    GRADSTAB_RETURN_IF_ERROR(values.status());
    return reader.expect("twice", twice);
  }
  std::string model_text() const override { return "a net"; }
  nlohmann::ordered_json describe_model() const override { return "net"; }
  nlohmann::ordered_json describe_data() const override { return nullptr; }

  bool grouped = false;
  bool tested = false;
  std::int64_t cycle = 1;
  std::size_t dies_in_evaluation = 0;  // from 1
  std::vector<double> scores;
  Seen seen;
  torch::Tensor twice = torch::zeros({1}, torch::kDouble);
  Net net_;

 private:
  double state_ = 0.0;
  const TaskInfo info_ = {.name = "hooked",
                          .sample = "samples",
                          .held_out = "",
                          .loss_unit = "",
                          .metrics = {{.key = "norm", .title = "Norm", .noun = "norm", .unit = ""}}};
};

class TaskHooksTest : public ::testing::Test {
 protected:
  ~TaskHooksTest() override { std::filesystem::remove_all(folder_); }
  static TrainOptions options() {
    TrainOptions options;
    options.optimizer = "adam";
    options.transform = "none";
    options.lr = 0.05;
    options.epochs = 3;
    options.warmup = 0;
    options.eval_every = 0;
    options.checkpoint_every = 1;
    return options;
  }
  TrainRequest request(const TrainOptions& options, const std::string& name) const {
    TrainRequest request;
    request.options = options;
    request.directory = folder_ / name;
    return request;
  }
  Json summary(HookedTask& task, const TrainOptions& options, const std::string& name = "run") const {
    const auto result = train(task, request(options, name));
    EXPECT_TRUE(result.ok()) << result.status().message();
    return result->summary;
  }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("gradstab_hooks_" + std::to_string(getpid()));
};

TEST_F(TaskHooksTest, ModesEpochsAndSamplesAreTheTasks) {
  HookedTask task;
  const Json result = summary(task, options());
  EXPECT_EQ(result.at("step"), 12) << "three epochs of four updates";
  EXPECT_EQ(task.seen.training, std::vector<bool>(12, true));
  EXPECT_EQ(task.seen.evaluating, std::vector<bool>(3, false));
  EXPECT_EQ(task.seen.extents, (std::vector<Extent>{Extent::quick, Extent::quick, Extent::full}));
  EXPECT_EQ(task.net_.count.item<std::int64_t>(), 12);
  std::ifstream lines(folder_ / "run" / "metrics.jsonl");
  std::vector<std::int64_t> samples;
  for (std::string line; std::getline(lines, line);)
    if (const auto json = nlohmann::json::parse(line); json.at("kind") == "step")
      samples.push_back(json.at("samples"));
  ASSERT_EQ(samples.size(), 12u);
  EXPECT_EQ(samples[1], 4);
  EXPECT_EQ(samples[11], 24);
}

TEST_F(TaskHooksTest, TheChecksumCoversBuffers) {
  HookedTask task;
  const Json before = summary(task, options(), "a").at("weights_checksum");
  HookedTask other;
  const torch::Tensor start = torch::tensor({0.5F, 0.0F});
  other.net_.mean.copy_(start);  // enters the loss a little, and the buffer a lot
  EXPECT_NE(summary(other, options(), "b").at("weights_checksum"), before);
  HookedTask same;
  EXPECT_EQ(summary(same, options(), "c").at("weights_checksum"), before) << "the control";
}

TEST_F(TaskHooksTest, StoppedInMidEpochItGoesOnBitForBit) {
  for (const auto& [select, average] : {std::pair("last", 0.0), std::pair("best", 0.9)}) {
    TrainOptions changed = options();
    changed.select = select;
    changed.average_decay = average;
    const std::string name = select;
    HookedTask whole;
    whole.grouped = true;
    const Json expected = summary(whole, changed, name + "-whole");
    // In mid-epoch, at the end of one, and before the last update.
    for (const int stop_after : {3, 6, 8, 11}) {
      SCOPED_TRACE(stop_after);
      const std::string run = name + std::to_string(stop_after);
      HookedTask begun;
      begun.grouped = true;
      TrainRequest first = request(changed, run);
      int updates = 0;
      first.on_step = [&](const TrainProgress&) { ++updates; };
      first.should_stop = [&] { return updates == stop_after; };
      ASSERT_EQ(train(begun, std::move(first)).value().outcome, TrainOutcome::interrupted);
      HookedTask again;
      again.grouped = true;
      TrainRequest second = request(changed, run);
      second.resumed = RunDirectory::open(second.directory).value();
      const auto resumed = train(again, std::move(second));
      ASSERT_TRUE(resumed.ok()) << resumed.status().message();
      for (const char* key : {"weights_checksum", "final_norm", "best_norm"})
        EXPECT_EQ(resumed->summary.at(key), expected.at(key)) << key;
      EXPECT_EQ(again.net_.count.item<std::int64_t>(), whole.net_.count.item<std::int64_t>());
      EXPECT_GT(again.twice.item<double>(), 0.0) << "tensors of the task are filled in";
    }
  }
}

// Killed after the last checkpoint, before the summary was written.
TEST_F(TaskHooksTest, KilledAtItsEndItEndsAgain) {
  for (const char* select : {"last", "best"}) {
    SCOPED_TRACE(select);
    TrainOptions changed = options();
    changed.select = select;
    HookedTask whole;
    whole.tested = true;
    const Json expected = summary(whole, changed, select);
    for (const char* name : {"summary.json", "exhibits.json"})
      ASSERT_TRUE(std::filesystem::remove(folder_ / select / name)) << name;
    HookedTask again;
    again.tested = true;
    TrainRequest second = request(changed, select);
    second.resumed = RunDirectory::open(second.directory).value();
    const auto resumed = train(again, std::move(second));
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(again.seen.training.size(), 0u);
    for (const char* key : {"weights_checksum", "final_norm", "best_norm", "validation_norm"})
      EXPECT_EQ(resumed->summary.at(key), expected.at(key)) << key;
    EXPECT_TRUE(std::filesystem::exists(folder_ / select / "exhibits.json"));
    int tests = 0;
    std::ifstream lines(folder_ / select / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      tests += nlohmann::json::parse(line).at("kind") == "test" ? 1 : 0;
    EXPECT_EQ(tests, 1);
  }
}

// The last evaluation can take long: what was trained before it is safe.
TEST_F(TaskHooksTest, KilledInItsLastEvaluationItEndsTheSame) {
  for (const char* select : {"last", "best"}) {
    SCOPED_TRACE(select);
    TrainOptions changed = options();
    changed.select = select;
    changed.checkpoint_every = 100;  // none but those of the end
    changed.tensorboard = true;
    HookedTask whole;
    const Json expected = summary(whole, changed, std::string("whole-") + select);
    HookedTask killed;
    killed.dies_in_evaluation = 3;  // that of the last of three epochs
    ASSERT_EQ(train(killed, request(changed, select)).status().message(), "killed");
    HookedTask again;
    TrainRequest second = request(changed, select);
    second.resumed = RunDirectory::open(second.directory).value();
    const auto resumed = train(again, std::move(second));
    ASSERT_TRUE(resumed.ok()) << resumed.status().message();
    EXPECT_EQ(again.seen.training.size(), 0u) << "nothing is trained again";
    for (const char* key : {"weights_checksum", "final_norm", "best_norm"})
      EXPECT_EQ(resumed->summary.at(key), expected.at(key)) << key;
    int evaluations = 0;
    std::ifstream lines(folder_ / select / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      evaluations += nlohmann::json::parse(line).at("kind") == "eval" ? 1 : 0;
    EXPECT_EQ(evaluations, 3);
    expect_events_like_metrics(folder_ / select);
  }
}

TEST_F(TaskHooksTest, MetricsThatWereCutAreNoticed) {
  HookedTask begun;
  TrainRequest first = request(options(), "run");
  int steps = 0;
  first.should_stop = [&] { return ++steps > 5; };
  ASSERT_TRUE(train(begun, std::move(first)).ok());
  std::ifstream lines(folder_ / "run" / "metrics.jsonl");
  std::string kept, line;
  for (int i = 0; i < 2 && std::getline(lines, line); ++i) kept += line + "\n";
  lines.close();
  std::ofstream(folder_ / "run" / "metrics.jsonl") << kept;
  HookedTask again;
  TrainRequest second = request(options(), "run");
  second.resumed = RunDirectory::open(second.directory).value();
  std::string warning;
  second.on_warning = [&](const std::string& text) { warning += text; };
  ASSERT_TRUE(train(again, std::move(second)).ok());
  EXPECT_THAT(warning, ::testing::HasSubstr("lacks updates 3 to "));
}

TEST_F(TaskHooksTest, EveryNthUpdateHasALine) {
  TrainOptions changed = options();
  changed.metrics_every = 3;
  changed.transform = "stabilize";        // which skips a tensor with NaN
  changed.inject_spikes = "5:nan,7:nan";  // updates without a line of their own
  const auto steps_of = [&](const char* name, const char* key = "step") {
    std::vector<std::int64_t> steps;
    std::ifstream lines(folder_ / name / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      if (const auto json = nlohmann::json::parse(line); json.at("kind") == "step")
        steps.push_back(json.at(key));
    return steps;
  };
  HookedTask whole;
  const Json expected = summary(whole, changed, "whole");
  EXPECT_EQ(steps_of("whole"), (std::vector<std::int64_t>{3, 6, 9, 12}));
  const std::vector<std::int64_t> flagged = steps_of("whole", "nonfinite");
  EXPECT_EQ(flagged, (std::vector<std::int64_t>{0, 1, 1, 0}));
  EXPECT_EQ(2, expected.at("nonfinite").get<std::int64_t>());
  HookedTask begun;
  TrainRequest first = request(changed, "run");
  int steps = 0;
  first.should_stop = [&] { return ++steps > 6; };  // after the seventh, which has no line
  ASSERT_TRUE(train(begun, std::move(first)).ok());
  HookedTask again;
  TrainRequest second = request(changed, "run");
  second.resumed = RunDirectory::open(second.directory).value();
  std::string warning;
  second.on_warning = [&](const std::string& text) { warning += text; };
  const auto resumed = train(again, std::move(second));
  ASSERT_TRUE(resumed.ok()) << resumed.status().message();
  EXPECT_EQ(warning, "") << "no line is missing";
  EXPECT_EQ(steps_of("run"), steps_of("whole"));
  EXPECT_EQ(steps_of("run", "nonfinite"), flagged) << "over a stop between two lines";
  EXPECT_EQ(resumed->summary.at("weights_checksum"), expected.at("weights_checksum"));
}

TEST_F(TaskHooksTest, EventFilesHaveTheMetricsAndChangeNothingElse) {
  TrainOptions changed = options();
  changed.tensorboard = true;
  changed.checkpoint_every = 2;
  changed.metrics_every = 2;
  changed.transform = "stabilize";
  changed.inject_spikes = "4:nan";
  TrainOptions without = changed;
  without.tensorboard = false;
  HookedTask plain, with;
  const Json expected = summary(plain, without, "without");
  EXPECT_EQ(summary(with, changed, "with").at("weights_checksum"), expected.at("weights_checksum"));
  EXPECT_TRUE(event_files_in(folder_ / "without").empty());
  expect_events_like_metrics(folder_ / "with");
  HookedTask begun;
  begun.tested = true;
  TrainRequest first = request(changed, "run");
  int steps = 0;
  first.should_stop = [&] { return ++steps > 6; };
  ASSERT_TRUE(train(begun, std::move(first)).ok());
  HookedTask again;
  again.tested = true;
  TrainRequest second = request(changed, "run");
  second.resumed = RunDirectory::open(second.directory).value();
  ASSERT_TRUE(train(again, std::move(second)).ok());
  expect_events_like_metrics(folder_ / "run");
  EXPECT_EQ(event_files_in(folder_ / "run").size(), 2u);
  std::vector<std::string> notes;
  const Series series = series_in(folder_ / "run", notes);
  EXPECT_TRUE(series.contains("test/norm"));
  EXPECT_EQ(series.at("train/loss").size(), 6u);
}

// Updates of three and of one sample in turn: of two together the speed is that of four.
TEST_F(TaskHooksTest, SpeedsAreThoseOfWholeCycles) {
  HookedTask task;
  task.cycle = 4;
  (void)summary(task, options());
  std::ifstream lines(folder_ / "run" / "metrics.jsonl");
  std::vector<double> speeds, seconds;
  std::vector<std::int64_t> samples;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.at("kind") != "step") continue;
    speeds.push_back(json.at("samples_per_second"));
    seconds.push_back(json.at("seconds"));
    samples.push_back(json.at("samples"));
  }
  ASSERT_EQ(speeds.size(), 12u);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(speeds[i], static_cast<double>(samples[i]) / seconds[i], 1e-9 * speeds[i])
        << "the first goes on";
  for (std::size_t i = 4; i < 7; ++i) EXPECT_EQ(speeds[i], speeds[3]) << "of the last that is complete";
  EXPECT_NE(speeds[7], speeds[3]) << "the control";
}

TEST_F(TaskHooksTest, StateThatIsNotThereIsRefused) {
  HookedTask begun;
  TrainRequest first = request(options(), "run");
  first.should_stop = [] { return true; };
  ASSERT_TRUE(train(begun, std::move(first)).ok());
  const auto path = folder_ / "run" / "checkpoint.gsck";
  Checkpoint checkpoint = read_checkpoint(path).value();
  checkpoint.tensors.erase("task/twice");
  ASSERT_TRUE(write_checkpoint(path, checkpoint).ok());
  HookedTask again;
  TrainRequest second = request(options(), "run");
  second.resumed = RunDirectory::open(second.directory).value();
  EXPECT_THAT(train(again, std::move(second)).status().message(),
              ::testing::HasSubstr("no tensor 'task/twice'"));
}

TEST_F(TaskHooksTest, TheBestWeightsAreKeptAndTheTestPartIsScoredOnce) {
  TrainOptions best = options();
  best.select = "best";
  HookedTask task;
  task.tested = true;
  // The second evaluation is the best. The fourth number is that of its weights on the whole validation part,
  // the last that of the test part.
  task.scores = {3.0, 1.0, 2.0, 1.25, 7.5};
  const Json result = summary(task, best);
  EXPECT_EQ(task.seen.extents,
            (std::vector<Extent>{Extent::quick, Extent::quick, Extent::quick, Extent::full, Extent::test}));
  EXPECT_EQ(task.seen.scored.back(), task.seen.scored.at(1)) << "by the weights of the best evaluation";
  EXPECT_NE(task.seen.scored.at(2), task.seen.scored.at(1));
  EXPECT_EQ(task.net_.w[0].item<float>(), task.seen.scored.at(1));
  EXPECT_EQ(result.at("final_norm"), 7.5);
  EXPECT_EQ(result.at("validation_norm"), 1.25);
  EXPECT_EQ(result.at("best_norm"), 1.0);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "run" / "exhibits.json"));
  HookedTask last;
  last.scores = {3.0, 1.0, 2.0};
  const Json of_last = summary(last, options(), "last");
  EXPECT_EQ(of_last.at("final_norm"), 2.0);
  EXPECT_EQ(of_last.at("best_norm"), 1.0);
  EXPECT_EQ(last.net_.w[0].item<float>(), last.seen.scored.at(2));
}

TEST_F(TaskHooksTest, AveragesAreEvaluatedAndTrainingGoesOnWithoutThem) {
  HookedTask plain;
  summary(plain, options(), "plain");
  TrainOptions averaged = options();
  averaged.average_decay = 0.5;
  HookedTask task;
  summary(task, averaged, "averaged");
  EXPECT_NE(task.seen.scored.at(0), plain.seen.scored.at(0));
  const Checkpoint one = read_checkpoint(folder_ / "plain" / "checkpoint.gsck").value();
  const Checkpoint other = read_checkpoint(folder_ / "averaged" / "checkpoint.gsck").value();
  EXPECT_EQ(one.tensors.at("weights/w").bytes, other.tensors.at("weights/w").bytes) << "the same training";
  EXPECT_EQ(one.tensors.at("weights/mean").bytes, other.tensors.at("weights/mean").bytes);
  ASSERT_TRUE(other.tensors.contains("average/w"));
  float kept = 0.0F;
  std::memcpy(&kept, other.tensors.at("average/w").bytes.data(), sizeof kept);
  EXPECT_EQ(task.net_.w[0].item<float>(), kept) << "and is what the run ends with";
}

/// The average of weights w_1, w_2, ... that begins at w_0, by its sum: d^n w_0 + (1 - d) sum of d^(n-i) w_i.
double average_of(const std::vector<double>& weights, double decay) {
  const auto last = static_cast<double>(weights.size() - 1);
  double sum = std::pow(decay, last) * weights.front();
  for (std::size_t i = 1; i < weights.size(); ++i)
    sum += (1.0 - decay) * std::pow(decay, last - static_cast<double>(i)) * weights[i];
  return sum;
}

TEST_F(TaskHooksTest, TheAverageIsThatOfTheWeightsAfterEveryUpdate) {
  TrainOptions averaged = options();
  averaged.average_decay = 0.8;
  HookedTask task;
  std::vector<double> weights = {1.0};  // w[0] before the first update
  TrainRequest watched = request(averaged, "run");
  watched.on_step = [&](const TrainProgress&) { weights.push_back(task.net_.w[0].item<float>()); };
  ASSERT_TRUE(train(task, std::move(watched)).ok());
  ASSERT_EQ(weights.size(), 13u);
  // Each of 12 updates rounds a difference and a sum of numbers below 2 to 24 bits.
  const double tolerance = 12 * 2 * std::ldexp(2.0, -24);
  EXPECT_NEAR(task.net_.w[0].item<float>(), average_of(weights, 0.8), tolerance);
  EXPECT_GT(std::abs(task.net_.w[0].item<float>() - average_of(weights, 0.7)), 100 * tolerance)
      << "the control";
}

TEST(KeptWeightsTest, TheAverageOfWeightsThatStayIsThem) {
  Net net;
  {
    const torch::NoGradGuard no_grad;
    net.w.copy_(torch::tensor({0.1F, 1.0F / 3.0F}));
  }
  KeptWeights average(net, kAveragePrefix);
  for (int i = 0; i < 1000; ++i) average.average(0.999);
  const torch::Tensor before = net.w.detach().clone();
  average.put();
  EXPECT_TRUE(torch::equal(net.w, before));
}

TEST(KeptWeightsTest, ExchangingTwiceIsNothing) {
  Net net;
  KeptWeights kept(net, kBestPrefix);
  {
    const torch::NoGradGuard no_grad;
    net.w += 0.1;
    net.count += 5;
  }
  const torch::Tensor now = net.w.detach().clone();
  kept.exchange();
  EXPECT_EQ(net.w[0].item<float>(), 1.0F);
  EXPECT_EQ(net.count.item<std::int64_t>(), 0);
  kept.exchange();
  EXPECT_TRUE(torch::equal(net.w, now));
  EXPECT_EQ(net.count.item<std::int64_t>(), 5);
}

/// One update with both engines: of the group without weight decay at half the rate, and of the rest.
TEST(ParameterGroupsTest, HaveTheirOwnDecayAndRate) {
  for (const char* engine : {"fused", "libtorch"}) {
    SCOPED_TRACE(engine);
    TrainOptions options;
    options.optimizer = "sgd";
    options.optimizer_engine = engine;
    options.beta1 = 0.0;
    options.transform = "none";
    options.weight_decay = 0.5;
    Net net;
    const auto optimizer =
        make_optimizer(options, net, {{.parameters = {"gain"}, .weight_decay_scale = 0.0, .lr_scale = 0.5}});
    optimizer->set_learning_rate(0.1);
    (net.w.sum() + net.gain.sum()).backward();
    optimizer->step();
    EXPECT_FLOAT_EQ(net.w[0].item<float>(), 1.0F - 0.1F * (1.0F + 0.5F * 1.0F));
    EXPECT_FLOAT_EQ(net.w[1].item<float>(), -2.0F - 0.1F * (1.0F + 0.5F * -2.0F));
    EXPECT_FLOAT_EQ(net.gain[0].item<float>(), 1.0F - 0.05F * 1.0F);
  }
}

/// A net after one update at rate 0.1.
Net updated(const std::string& optimizer, double weight_decay, const std::vector<ParameterGroup>& groups) {
  TrainOptions options;
  options.optimizer = optimizer;
  options.transform = "none";
  options.weight_decay = weight_decay;
  Net net;
  const auto made = make_optimizer(options, net, groups);
  made->set_learning_rate(0.1);
  // Of a gain of 1 and small enough for its decay to turn the sign, by which alone Adam takes its first step.
  (net.w.sum() - 0.1 * net.gain.sum()).backward();
  made->step();
  return net;
}

TEST(ParameterGroupsTest, EveryOptimizerKeepsThem) {
  const std::vector<ParameterGroup> groups = {
      {.parameters = {"gain"}, .weight_decay_scale = 0.0, .lr_scale = 0.5}};
  for (const char* optimizer : {"adamw", "adam", "sgd", "lion", "adam_mini", "spam", "stable_spam"}) {
    SCOPED_TRACE(optimizer);
    const Net grouped = updated(optimizer, 0.5, groups);
    const Net whole = updated(optimizer, 0.5, {});
    const Net without_decay = updated(optimizer, 0.0, {});
    EXPECT_TRUE(torch::equal(grouped.w, whole.w)) << "the rest has the run's settings";
    const float change = without_decay.gain[0].item<float>() - 1.0F;
    EXPECT_NE(change, 0.0F);
    EXPECT_NEAR(grouped.gain[0].item<float>() - 1.0F, 0.5F * change, 2e-7);
    EXPECT_GT(std::abs(whole.gain[0].item<float>() - without_decay.gain[0].item<float>()), 1e-3)
        << "the control";
  }
}

TEST(ParameterGroupsTest, ANameThatIsNoneIsRefused) {
  Net net;
  TrainOptions options;
  EXPECT_THROW(make_optimizer(options, net, {{.parameters = {"bias"}}}), Error);
  EXPECT_THROW(make_optimizer(options, net, {{.parameters = {"w"}}, {.parameters = {"w"}}}), Error);
}

}  // namespace
}  // namespace gradstab::lab
