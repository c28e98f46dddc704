// The model against what an independent program computed (data/patch_tst.json, made by make_golden.py), and
// what training relies on.
#include "lab/forecast/patch_tst.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lab/forecast/batches.hpp"
#include "lab/forecast/corruption.hpp"
#include "lab/forecast/published.hpp"
#include "tests/lab/forecast/published_config.hpp"
#include "tests/lab/forecast/test_series.hpp"

namespace gradstab::lab::forecast {
namespace {

using nlohmann::json;
using torch::Tensor;

Tensor to_tensor(const json& numbers, at::IntArrayRef sizes) {
  return torch::tensor(numbers.get<std::vector<double>>(), torch::kDouble).reshape(sizes);
}

/// Between two ways to compute a model in float, relative to the largest number: 64 roundings. The sums that
/// follow each other in three layers have up to 80 terms, and their roundings partly cancel; the largest
/// difference from the golden numbers was 8 roundings.
constexpr double kFloatTolerance = 64 * 0x1p-24;

/// The largest difference, relative to the largest expected magnitude.
double relative_difference(const Tensor& a, const Tensor& expected) {
  const Tensor wide = expected.to(torch::kDouble);
  return ((a.to(torch::kDouble) - wide).abs().max() / wide.abs().max().clamp_min(1e-12)).item<double>();
}

class GoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenTest() {
    std::ifstream file(GRADSTAB_PATCH_TST_GOLDEN);
    for (const json& entry : json::parse(file))
      if (entry.at("name") == GetParam()) golden_ = entry;
    const json& sizes = golden_.at("sizes");
    config_.look_back = sizes.at("look_back");
    config_.horizon = sizes.at("horizon");
    config_.patch_length = sizes.at("patch_length");
    config_.patch_stride = sizes.at("patch_stride");
    config_.layers = sizes.at("layers");
    config_.heads = sizes.at("heads");
    config_.width = sizes.at("width");
    config_.hidden = sizes.at("hidden");
    config_.dropout = 0;
    config_.revin_affine = golden_.at("affine");
    config_.channels = golden_.at("channels");
    config_.compat_revin_inverse = golden_.at("compat_revin_inverse");
  }

  PatchTst model(torch::ScalarType type) const {
    PatchTst model(config_, 1);
    model->to(type);
    const torch::NoGradGuard no_grad;
    auto parameters = model->named_parameters();
    const json& values = golden_.at("parameters");
    EXPECT_EQ(parameters.size(), values.size());
    for (auto& parameter : parameters)
      parameter.value().copy_(to_tensor(values.at(parameter.key()), parameter.value().sizes()));
    return model;
  }
  Tensor windows(torch::ScalarType type) const {
    return to_tensor(golden_.at("windows"), {batch(), config_.channels, config_.look_back}).to(type);
  }
  std::int64_t batch() const { return golden_.at("batch").get<std::int64_t>(); }
  Tensor of_horizon(const char* key) const {
    return to_tensor(golden_.at(key), {batch(), config_.channels, config_.horizon});
  }

  void compare(torch::ScalarType type, double tolerance) const {
    PatchTst model = this->model(type);
    model->train();
    const Tensor trained = model->forward(windows(type));
    EXPECT_LT(relative_difference(trained, of_horizon("trained")), tolerance);
    const Tensor loss = torch::mse_loss(trained, of_horizon("targets").to(type));
    EXPECT_NEAR(loss.item<double>(), golden_.at("loss").get<double>(),
                tolerance * golden_.at("loss").get<double>());
    loss.backward();
    // Gradients that are zero in exact numbers (biases before a norm) are compared with the largest of all.
    double largest = 0;
    for (const auto& [name, numbers] : golden_.at("gradients").items())
      for (const double number : numbers.get<std::vector<double>>())
        largest = std::max(largest, std::abs(number));
    for (const auto& parameter : model->named_parameters()) {
      const Tensor& gradient = parameter.value().grad();
      const Tensor expected = to_tensor(golden_.at("gradients").at(parameter.key()), gradient.sizes());
      EXPECT_LT((gradient.to(torch::kDouble) - expected).abs().max().item<double>(), tolerance * largest)
          << parameter.key();
    }
    for (const auto& buffer : model->named_buffers()) {
      const std::string& name = buffer.key();
      const std::size_t dot = name.rfind(".running_");
      if (dot == std::string::npos) continue;
      const Tensor expected = to_tensor(
          golden_.at("running").at(name.substr(0, dot)).at(name.substr(dot + 9)), buffer.value().sizes());
      EXPECT_LT(relative_difference(buffer.value(), expected), tolerance) << name;
    }
    model->eval();
    EXPECT_LT(relative_difference(model->forward(windows(type)), of_horizon("evaluated")), tolerance);
  }

  json golden_;
  PatchTstConfig config_;
};

// In double the programs differ by the order of sums and by the 12 digits of the file, that is by 1e-11.
TEST_P(GoldenTest, Double) {
  compare(torch::kDouble, 1e-9);
}
TEST_P(GoldenTest, Float) {
  compare(torch::kFloat, kFloatTolerance);
}

TEST_P(GoldenTest, OfAnotherModelIsAnotherResult) {
  PatchTst model = this->model(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    model->named_parameters()["layers.1.key.weight"].mul_(1.01);
  }
  model->train();
  EXPECT_GT(relative_difference(model->forward(windows(torch::kDouble)), of_horizon("trained")),
            kFloatTolerance);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, ::testing::Values("plain", "affine", "compat_revin_inverse"),
                         [](const auto& tested) { return tested.param; });

PatchTstConfig small_config() {
  PatchTstConfig config;
  config.look_back = 40;
  config.horizon = 8;
  config.patch_length = 8;
  config.patch_stride = 4;
  config.heads = 2;
  config.width = 8;
  config.hidden = 16;
  config.dropout = 0.3;
  return config;
}
Tensor some_windows(std::int64_t count, std::uint64_t seed = 3) {
  auto generator = torch::make_generator<torch::CPUGeneratorImpl>(seed);
  return torch::empty({count, 3, 40}, torch::kFloat).normal_(0, 1, generator).cumsum(-1);
}

TEST(PatchTstTest, HasAsManyParametersAsItsConfigurationSays) {
  for (const char* name : {"weather", "ETTh1"})
    for (const std::int64_t horizon : {96, 720}) {
      const PatchTstConfig config = config_of(*published_settings(name), horizon);
      std::int64_t count = 0;
      for (const Tensor& parameter : PatchTst(config, 1)->parameters()) count += parameter.numel();
      EXPECT_EQ(count, config.parameter_count());
    }
  PatchTstConfig affine = small_config();
  affine.revin_affine = true;
  affine.channels = 3;
  std::int64_t count = 0;
  for (const Tensor& parameter : PatchTst(affine, 1)->parameters()) count += parameter.numel();
  EXPECT_EQ(count, affine.parameter_count());
  EXPECT_EQ(count, small_config().parameter_count() + 6);
}

TEST(PatchTstTest, InitialWeightsFollowTheSeed) {
  const PatchTst one(small_config(), 1), same(small_config(), 1), other(small_config(), 2);
  const auto a = one->named_parameters(), b = same->named_parameters(), c = other->named_parameters();
  for (const auto& parameter : a)
    EXPECT_TRUE(torch::equal(parameter.value(), b[parameter.key()])) << parameter.key();
  EXPECT_FALSE(torch::equal(a["head.weight"], c["head.weight"]));
  // U(-1/sqrt(16), 1/sqrt(16)) of the outer layer; positions within 0.02.
  const Tensor outer = a["layers.0.outer.weight"];
  EXPECT_LE(outer.abs().max().item<double>(), 0.25);
  EXPECT_GT(outer.abs().max().item<double>(), 0.23);
  EXPECT_LE(a["positions"].abs().max().item<double>(), 0.02);
  EXPECT_GT(a["positions"].abs().max().item<double>(), 0.015);
}

TEST(PatchTstTest, DropoutFollowsTheDrawInTrainingOnly) {
  PatchTst model(small_config(), 1);
  const Tensor windows = some_windows(4);
  model->train();
  const Tensor first = model->forward(windows, {7, 1});
  EXPECT_TRUE(torch::equal(first, model->forward(windows, {7, 1})));
  EXPECT_FALSE(torch::equal(first, model->forward(windows, {7, 2})));
  EXPECT_FALSE(torch::equal(first, model->forward(windows, {8, 1})));
  model->eval();
  EXPECT_TRUE(torch::equal(model->forward(windows, {7, 1}), model->forward(windows, {7, 2})));
}

TEST(PatchTstTest, EvaluationDoesNotDependOnTheBatchAndChangesNothing) {
  PatchTst model(small_config(), 1);
  model->train();
  for (std::uint64_t update = 0; update < 3; ++update) model->forward(some_windows(5, update), {7, update});
  model->eval();
  std::vector<Tensor> before;
  for (const Tensor& buffer : model->buffers()) before.push_back(buffer.clone());
  const Tensor windows = some_windows(9);
  const Tensor all = model->forward(windows);
  for (std::int64_t i = 0; i < 9; ++i)
    EXPECT_LT(relative_difference(model->forward(windows.narrow(0, i, 1)), all.narrow(0, i, 1)),
              kFloatTolerance)
        << i;
  const auto after = model->buffers();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i]));
  // In training the norms use the statistics of the batch, which is noticed.
  PatchTstConfig config = small_config();
  config.dropout = 0;
  PatchTst training(config, 1);
  training->train();
  EXPECT_GT(relative_difference(training->forward(windows.narrow(0, 0, 1)),
                                training->forward(windows).narrow(0, 0, 1)),
            kFloatTolerance);
}

TEST(PatchTstTest, AForecastMovesWithItsWindow) {
  PatchTst model(small_config(), 1);
  model->to(torch::kDouble);
  model->eval();
  const Tensor windows = some_windows(3).to(torch::kDouble);
  const Tensor expected = model->forward(windows);
  // Shift and scale leave through RevIN, up to its epsilon: the deviation of a window that is five times as
  // large is not five times as large, but smaller by this share. A forecast moves by about as much, at most.
  const double bound = 1e-5 * (1 - 1.0 / 25) / (2 * windows.var(-1, false).min().item<double>());
  EXPECT_LT(relative_difference((model->forward(windows * 5 + 100) - 100) / 5, expected), bound);
  // It does not scale with a window that the epsilon is not small for.
  EXPECT_GT(relative_difference(model->forward(windows * 0.01) / 0.01, expected), bound);
  const Tensor constant = torch::full({1, 3, 40}, 4.0, torch::kDouble);
  EXPECT_TRUE(model->forward(constant).isfinite().all().item<bool>());
}

TEST(PatchTstTest, ChannelsDoNotSeeEachOther) {
  PatchTst model(small_config(), 1);
  model->eval();
  const Tensor windows = some_windows(2);
  Tensor changed = windows.clone();
  changed.select(1, 2).mul_(-3);
  const Tensor a = model->forward(windows), b = model->forward(changed);
  EXPECT_LT(relative_difference(b.narrow(1, 0, 2), a.narrow(1, 0, 2)), 1e-6);
  EXPECT_GT(relative_difference(b.select(1, 2), a.select(1, 2)), 0.1);
}

TEST(PatchTstTest, OtherShapesThrow) {
  PatchTst model(small_config(), 1);
  EXPECT_THROW(model->forward(torch::zeros({2, 3, 39})), c10::Error);
  EXPECT_THROW(model->forward(torch::zeros({3, 40})), c10::Error);
  PatchTstConfig affine = small_config();
  affine.revin_affine = true;
  affine.channels = 2;
  EXPECT_THROW(PatchTst(affine, 1)->forward(torch::zeros({2, 3, 40})), c10::Error);
  affine.channels = 0;
  EXPECT_THROW(PatchTst(affine, 1), gradstab::Error);
}

/// Everything that a training loop of a task needs; stops and goes on where it is told to.
struct Trainee {
  static constexpr std::uint64_t kSeed = 9;
  PatchTst model{small_config(), kSeed};
  torch::optim::Adam optimizer{model->parameters(), torch::optim::AdamOptions(1e-3)};
  Corruption corruption{0.05, 1};

  void train(const Windows& windows, std::uint64_t from, std::uint64_t to) {
    const WindowOrder order(windows.count(), 32, kSeed);
    model->train();
    for (std::uint64_t update = from; update < to; ++update) {
      std::vector<std::int64_t> indices(static_cast<std::size_t>(order.size(update)));
      order.batch(update, indices);
      const Batch batch = gather(windows, indices);
      const nn::Draw draw{kSeed, update};
      corrupt({batch.inputs.data_ptr<float>(), static_cast<std::size_t>(batch.inputs.numel())}, corruption,
              2.0, draw);
      optimizer.zero_grad();
      torch::mse_loss(model->forward(batch.inputs, draw), batch.targets).backward();
      optimizer.step();
    }
  }
};

class TrainingTest : public ::testing::Test {
 protected:
  const Series series_ = wavy_series(400, 3);
  const Parts parts_ = split_rows(series_, 40, 8).value();
  const StandardSeries standard_ =
      StandardSeries::of(series_, Standardization::of(series_, parts_.training), parts_.training).value();
  const Windows training_{standard_, parts_.training, 40, 8};
  const Windows test_{standard_, parts_.test, 40, 8};

  static Score score_of(PatchTst& model, const Windows& windows, std::int64_t batch) {
    model->eval();
    return score([&](const Tensor& inputs) { return model->forward(inputs); }, windows, windows.count(),
                 batch);
  }
};

// In the middle of an epoch, at its end and right after it.
TEST_F(TrainingTest, StoppedAndResumedIsTheSameBitForBit) {
  const auto updates_per_epoch =
      static_cast<std::uint64_t>(WindowOrder(training_.count(), 32, 9).batches_per_epoch());
  ASSERT_EQ(updates_per_epoch, 8u);
  Trainee whole;
  whole.train(training_, 0, 14);
  for (const std::uint64_t stop : {11u, 8u, 9u}) {
    Trainee first;
    first.train(training_, 0, stop);
    std::stringstream model_bytes, optimizer_bytes;
    torch::save(first.model, model_bytes);
    torch::save(first.optimizer, optimizer_bytes);
    Trainee second;
    torch::load(second.model, model_bytes);
    torch::load(second.optimizer, optimizer_bytes);
    second.train(training_, stop, 14);
    const auto expected = whole.model->named_parameters();
    for (const auto& parameter : second.model->named_parameters())
      EXPECT_TRUE(torch::equal(parameter.value(), expected[parameter.key()])) << parameter.key();
    const auto buffers = whole.model->named_buffers();
    for (const auto& buffer : second.model->named_buffers())
      EXPECT_TRUE(torch::equal(buffer.value(), buffers[buffer.key()])) << buffer.key();
  }
  // The draws matter: other numbers of updates give other weights.
  Trainee shifted;
  shifted.train(training_, 1, 15);
  EXPECT_FALSE(torch::equal(shifted.model->parameters()[0], whole.model->parameters()[0]));
  // So does the noise.
  Trainee clean;
  clean.corruption = {};
  clean.train(training_, 0, 14);
  EXPECT_FALSE(torch::equal(clean.model->parameters()[0], whole.model->parameters()[0]));
}

// Four draws of the weights ended at 0.18 to 0.25 of where they began, and all at an error of 0.32 to 0.33.
// Of that 0.15 is the noise in what is forecast, 0.09 of a variance of 0.59.
TEST_F(TrainingTest, LearnsToForecastWaves) {
  Trainee run;
  run.corruption = {};
  const double before = score_of(run.model, test_, 64).mean_squared_error();
  run.train(training_, 0, 200);
  const double after = score_of(run.model, test_, 64).mean_squared_error();
  EXPECT_LT(after, 0.5 * before);
  // It is the weights that learn, and not the statistics of the norms alone, which came to 0.98.
  Trainee still;
  still.corruption = {};
  static_cast<torch::optim::AdamOptions&>(still.optimizer.param_groups()[0].options()).lr(0);
  still.train(training_, 0, 200);
  EXPECT_GT(score_of(still.model, test_, 64).mean_squared_error(), 0.5 * before);
}

TEST_F(TrainingTest, TheScoreDoesNotDependOnTheBatch) {
  Trainee run;
  run.train(training_, 0, 5);
  const Score whole = score_of(run.model, test_, test_.count());
  EXPECT_EQ(whole.count(), test_.count() * 3 * 8);
  const Forecaster forecaster = [&](const Tensor& inputs) { return run.model->forward(inputs); };
  // A forecast of another batch is off by at most this, its square by twice the error times this.
  const torch::NoGradGuard no_grad;
  const double off =
      kFloatTolerance * forecaster(gather_from(test_, 0, test_.count()).inputs).abs().max().item<double>();
  const double squares_off = 2 * whole.mean_absolute_error() * off;
  for (const std::int64_t batch : {1, 32, 128}) {
    const Score batched = score_of(run.model, test_, batch);
    EXPECT_EQ(batched.count(), whole.count());
    EXPECT_NEAR(batched.mean_squared_error(), whole.mean_squared_error(), squares_off) << batch;
    EXPECT_NEAR(batched.mean_absolute_error(), whole.mean_absolute_error(), off) << batch;
  }
  // Without the last batch, which is smaller, the score is another one.
  ASSERT_NE(test_.count() % 32, 0);
  const Score cut = score(forecaster, test_, test_.count() / 32 * 32, 32);
  EXPECT_GT(std::abs(cut.mean_squared_error() - whole.mean_squared_error()), squares_off);
  EXPECT_GT(std::abs(cut.mean_absolute_error() - whole.mean_absolute_error()), off);
}

TEST_F(TrainingTest, EverySoManyThWindowIsScored) {
  const Forecaster zero = [](const Tensor& inputs) {
    return torch::zeros({inputs.size(0), inputs.size(1), 8});
  };
  Score expected;
  const std::vector<float> nothing(8);
  for (std::int64_t index = 0; index < test_.count(); index += 7)
    for (std::int64_t channel = 0; channel < 3; ++channel)
      expected.add(nothing.data(), test_.target(index, channel), 8);
  const Score thinned = score(zero, test_, (test_.count() + 6) / 7, 3, 7);
  EXPECT_EQ(thinned.count(), expected.count());
  EXPECT_NEAR(thinned.mean_squared_error(), expected.mean_squared_error(), 1e-12);
  EXPECT_NE(thinned.mean_squared_error(), score(zero, test_, test_.count(), 3).mean_squared_error());
}

}  // namespace
}  // namespace gradstab::lab::forecast
