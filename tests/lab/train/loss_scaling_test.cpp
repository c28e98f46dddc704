// Loss scaling in the trainer: what a step with found-inf leaves alone, and what the gradients are otherwise.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "lab/nn/low_precision.hpp"
#include "lab/run/checkpoint.hpp"
#include "lab/train/trainer.hpp"

namespace gradstab::lab {
namespace {

struct Weights : torch::nn::Module {
  torch::Tensor w;
  Weights() { w = register_parameter("w", torch::tensor({0.5F, -0.75F, 1.25F})); }
};

/// 0.5 |w|^2 times `factors[index]` (the last one from there on), its gradient rounded to binary16.
class QuadraticTask final : public Task {
 public:
  explicit QuadraticTask(std::vector<double> factors = {1}) : factors_(std::move(factors)) {}
  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return weights_; }
  torch::Tensor training_loss(std::uint64_t index) override {
    const double factor = factors_[std::min<std::size_t>(index, factors_.size() - 1)];
    return round_gradient(weights_.w, Precision::fp16).square().sum() * (0.5 * factor);
  }
  std::int64_t samples(std::uint64_t) const override { return 1; }
  Evaluation evaluate(Extent) override { return {{0.0}}; }
  std::string model_text() const override { return "quadratic"; }
  nlohmann::ordered_json describe_model() const override { return "quadratic"; }
  nlohmann::ordered_json describe_data() const override { return nullptr; }

  std::vector<float> values() const {
    return {weights_.w.data_ptr<float>(), weights_.w.data_ptr<float>() + weights_.w.numel()};
  }

 private:
  Weights weights_;
  const TaskInfo info_ = {.name = "quadratic",
                          .sample = "samples",
                          .held_out = "",
                          .loss_unit = "",
                          .metrics = {{.key = "loss", .title = "Loss", .noun = "loss", .unit = ""}},
                          .uninformed = 1.0};
  std::vector<double> factors_;
};

struct Record {
  nlohmann::ordered_json summary;
  std::vector<nlohmann::json> steps;
  Checkpoint checkpoint;
  std::vector<float> weights;

  /// The optimizer's moments and the transform's state.
  std::string optimizer_tensors() const {
    std::string state;
    for (const auto& [name, tensor] : checkpoint.tensors)
      if (name.starts_with(kOptimizerPrefix)) state += name + std::string(tensor.bytes);
    for (const auto& [name, blob] : checkpoint.blobs) state += name + std::string(blob);
    return state;
  }

  std::vector<double> column(const char* key) const {
    std::vector<double> values;
    for (const auto& step : steps) values.push_back(step.at(key).get<double>());
    return values;
  }
};

class LossScalingTest : public testing::TestWithParam<std::string> {
 protected:
  ~LossScalingTest() override { std::filesystem::remove_all(folder_); }

  /// A constant learning rate, so that a skipped step can be compared with none.
  TrainOptions options(std::int64_t steps, double loss_scale) const {
    TrainOptions options;
    options.precision = "fp16";
    options.loss_scale_init = loss_scale;
    options.optimizer_engine = GetParam();
    options.lr = 0.01;
    options.steps = steps;
    options.warmup = 0;
    options.min_lr_ratio = 1.0;
    options.eval_every = 1000;
    return options;
  }

  Record run(const TrainOptions& options, std::vector<double> factors = {1}) {
    EXPECT_TRUE(options.validate().ok()) << options.validate().message();
    QuadraticTask task(std::move(factors));
    TrainRequest request;
    request.options = options;
    request.directory = folder_;
    request.force = true;
    const auto result = train(task, std::move(request));
    EXPECT_TRUE(result.ok()) << result.status().message();
    Record record{result->summary, {}, read_checkpoint(folder_ / "checkpoint.gsck").value(), task.values()};
    std::ifstream lines(folder_ / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);) {
      auto json = nlohmann::json::parse(line);
      if (json.at("kind") == "step") record.steps.push_back(std::move(json));
    }
    return record;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("gradstab_loss_scaling_" + std::to_string(getpid()));
};

// The largest gradient is 1.25, so a scale of 2^16 overflows (81920) and 2^15 does not (40960).
constexpr double kOverflowing = 65536;
constexpr double kFitting = 32768;

TEST_P(LossScalingTest, SkippedStepsLeaveWeightsMomentsAndOptimizerAlone) {
  const Record skipping = run(options(3 + 20, 4 * kOverflowing));
  const Record smooth = run(options(20, kFitting));
  EXPECT_EQ(skipping.summary["skipped_steps"], 3);
  EXPECT_EQ(smooth.summary["skipped_steps"], 0);
  EXPECT_EQ(skipping.summary["weights_checksum"], smooth.summary["weights_checksum"]);
  EXPECT_EQ(skipping.weights, smooth.weights);
  EXPECT_TRUE(skipping.optimizer_tensors() == smooth.optimizer_tensors());
  // Negative control: one more step is another state.
  const Record longer = run(options(21, kFitting));
  EXPECT_NE(longer.weights, smooth.weights);
  EXPECT_FALSE(longer.optimizer_tensors() == smooth.optimizer_tensors());
}

TEST_P(LossScalingTest, AHugeScaleHalvesUntilTheGradientsFit) {
  const Record record = run(options(5, 1e38));
  EXPECT_EQ(record.weights, QuadraticTask().values());
  EXPECT_EQ(record.summary["skipped_steps"], 5);
  const float initial = 1e38F;
  EXPECT_EQ(record.column("loss_scale"),
            (std::vector<double>{initial, initial / 2, initial / 4, initial / 8, initial / 16}));
  for (const auto& step : record.steps) {
    EXPECT_EQ(step["step_skipped"], true);
    EXPECT_TRUE(step["grad_norm"].is_null());
    EXPECT_EQ(step["nonfinite"], 0);
    EXPECT_EQ(step["loss"].get<double>(), 0.5 * (0.25 + 0.5625 + 1.5625));
  }
  // 1e38 / 2^111 = 38518 is the first scale that fits.
  const Record recovered = run(options(115, 1e38));
  EXPECT_EQ(recovered.summary["skipped_steps"], 111);
  EXPECT_NE(recovered.weights, record.weights);
}

TEST_P(LossScalingTest, GrowsAfterTheInterval) {
  TrainOptions growing = options(8, 8);
  growing.loss_scale_growth_interval = 3;
  const Record record = run(growing);
  EXPECT_EQ(record.column("loss_scale"), (std::vector<double>{8, 8, 8, 16, 16, 16, 32, 32}));
  EXPECT_EQ(record.checkpoint.header["loss_scaler"],
            nlohmann::ordered_json({{"scale", 32.0}, {"growth_count", 2}, {"skipped_steps", 0}}));
}

TEST_P(LossScalingTest, GradientsAreUnscaledBeforeNormsAreMeasured) {
  const double norm = std::sqrt(0.25 + 0.5625 + 1.5625);  // these gradients are binary16 numbers at any scale
  for (const double scale : {1.0, 1024.0, 3000.0}) {
    const double error =
        scale == 3000.0 ? std::ldexp(norm, -11) : 1e-7 * norm;  // 3000 * 0.75 needs no rounding
    EXPECT_NEAR(run(options(1, scale)).column("grad_norm")[0], norm, error) << scale;
  }
}

TEST_P(LossScalingTest, InjectedSpikesMultiplyUnscaledGradients) {
  TrainOptions smooth = options(4, kFitting);
  smooth.inject_spikes = "2:1e6";
  TrainOptions skipping = options(5, kOverflowing);
  skipping.inject_spikes = "1:7,3:1e6";  // the first update is skipped, and its spike with it
  const Record first = run(smooth);
  const Record second = run(skipping);
  EXPECT_EQ(first.summary["skipped_steps"], 0);
  EXPECT_EQ(second.summary["skipped_steps"], 1);
  EXPECT_EQ(first.weights, second.weights);
  const double before = first.steps[0]["grad_norm"];
  EXPECT_NEAR(first.steps[1]["grad_norm"].get<double>() / before, 1e6, 0.02e6);  // a step of 0.01 per weight
}

TEST_P(LossScalingTest, AnInjectedNaNIsSkippedOrReachesTheWeights) {
  TrainOptions skipping = options(4, kFitting);
  skipping.inject_spikes = "2:nan";
  skipping.nonfinite = "skip_step";
  const Record skipped = run(skipping);
  EXPECT_FALSE(skipped.steps[0].contains("injected"));
  EXPECT_EQ(skipped.steps[1]["injected"], "nan");
  EXPECT_EQ(skipped.steps[1]["nonfinite"], 1);
  EXPECT_TRUE(skipped.steps[1]["grad_norm"].is_null());
  EXPECT_EQ(skipped.summary["nonfinite"], 1);
  EXPECT_EQ(skipped.weights, run(options(3, kFitting)).weights) << "as if the update had not been";
  TrainOptions passing = skipping;
  passing.nonfinite = "pass_through";
  const auto poisoned = run(passing).weights;
  EXPECT_TRUE(std::ranges::any_of(poisoned, [](float weight) { return std::isnan(weight); }));
}

TEST_P(LossScalingTest, FoundInfInOneMicroBatchSkipsTheWholeStep) {
  TrainOptions accumulating = options(3, kFitting);
  accumulating.accumulation = 2;
  // Micro-batches 2 and 3 make update 2.
  const Record record = run(accumulating, {1, 1, 1, 1000, 1});
  EXPECT_EQ(record.column("loss_scale"), (std::vector<double>{kFitting, kFitting, kFitting / 2}));
  EXPECT_EQ(record.steps[0]["step_skipped"], false);
  EXPECT_EQ(record.steps[1]["step_skipped"], true);
  EXPECT_EQ(record.steps[2]["step_skipped"], false);
  TrainOptions without = accumulating;
  without.steps = 2;
  EXPECT_EQ(run(without).weights, record.weights);
  // The mean of both micro-batches' gradients.
  const double norm = std::sqrt(0.25 + 0.5625 + 1.5625);
  EXPECT_NEAR(run(without, {1, 0.5}).column("grad_norm")[0], 0.75 * norm, 1e-7 * norm);
}

TEST_P(LossScalingTest, TheLearningRateAdvancesOverSkippedSteps) {
  TrainOptions falling = options(4, 2 * kOverflowing);
  falling.min_lr_ratio = 0.0;
  const double rate = 0.01;
  const std::vector<double> expected = {rate, rate * (1 + std::sqrt(0.5)) / 2, rate / 2,
                                        rate * (1 - std::sqrt(0.5)) / 2};
  const auto rates = run(falling).column("lr");
  ASSERT_EQ(rates.size(), expected.size());
  for (std::size_t i = 0; i < rates.size(); ++i) EXPECT_NEAR(rates[i], expected[i], 1e-12);
}

TEST_P(LossScalingTest, OtherPrecisionsDoNotScale) {
  for (const char* precision : {"fp32", "bf16"}) {
    TrainOptions plain = options(2, 1e38);
    plain.precision = precision;
    const Record record = run(plain);
    EXPECT_EQ(record.summary["skipped_steps"], 0);
    EXPECT_FALSE(record.steps[0].contains("loss_scale"));
    EXPECT_FALSE(record.checkpoint.header.contains("loss_scaler"));
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, LossScalingTest, testing::Values("fused", "libtorch"),
                         [](const auto& engine) { return engine.param; });

}  // namespace
}  // namespace gradstab::lab
