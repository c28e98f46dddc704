// The classifiers: shapes, gradients, seeds, and what training relies on.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "lab/vision/classifier.hpp"
#include "lab/vision/initial_weights.hpp"
#include "lab/vision/model_parts.hpp"

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

constexpr std::uint64_t kSeed = 5;

/// The named model for small pictures, so that the large ones are quick.
ModelConfig small_pictures(const std::string& name) {
  ModelConfig config = find_model(name)->config();
  if (auto* const vit = std::get_if<VitConfig>(&config); vit != nullptr && vit->patch == 16)
    vit->picture = 32;
  return config;
}

std::int64_t side_for(const std::string& name) {
  return name.ends_with("mini") ? 28 : name == "vit-ti16" || name.starts_with("vit") ? 32 : 64;
}

Tensor pictures_for(const std::string& name, std::int64_t batch, std::uint64_t seed = 3) {
  const std::int64_t channels =
      std::visit([](const auto& one) { return one.channels; }, find_model(name)->config());
  return InitialWeights(seed).normal({batch, channels, side_for(name), side_for(name)}, 1.0);
}

class ModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  const std::string name_ = GetParam();
  const ModelConfig config_ = small_pictures(name_);
};

TEST_P(ModelTest, HasItsShapesAndGradientsReachEveryParameter) {
  const auto model = make_classifier(config_, kSeed);
  const auto parameters = model->named_parameters();
  std::int64_t count = 0;
  for (const auto& parameter : parameters) count += parameter.value().numel();
  EXPECT_EQ(count, parameter_count(config_));

  if (name_.starts_with("vit")) {
    // The head begins at 0, as published: in the first update nothing in front of it has a gradient.
    const torch::NoGradGuard no_grad;
    EXPECT_EQ(parameters["head.weight"].abs().max().item<float>(), 0.0f);
    Tensor head = parameters["head.weight"];
    head.copy_(InitialWeights(1).normal(head.sizes(), 0.1));
  }
  model->train();
  const Tensor logits = model->forward(pictures_for(name_, 2), {kSeed, 0});
  const std::int64_t classes = std::visit([](const auto& one) { return one.classes; }, config_);
  ASSERT_EQ(logits.sizes(), at::IntArrayRef({2, classes}));
  logits.square().sum().backward();
  for (const auto& parameter : parameters) {
    ASSERT_TRUE(parameter.value().grad().defined()) << parameter.key();
    const double norm = parameter.value().grad().norm().item<double>();
    EXPECT_TRUE(std::isfinite(norm) && norm > 0) << parameter.key() << ": " << norm;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ModelTest,
                         ::testing::Values("vit-mini", "vit-ti16", "vit-s16", "vit-b16", "convnext-mini",
                                           "convnext-t", "resnet-mini", "resnet18-cifar", "resnet18",
                                           "resnet50"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

class SmallModelTest : public ModelTest {};

TEST_P(SmallModelTest, InitialWeightsFollowTheSeedAndNotTheThreads) {
  const auto one = make_classifier(config_, 1), other = make_classifier(config_, 2);
  const int threads = at::get_num_threads();
  at::set_num_threads(threads == 1 ? 2 : 1);
  const auto same = make_classifier(config_, 1);
  at::set_num_threads(threads);
  bool differs = false;
  const auto b = same->named_parameters(), c = other->named_parameters();
  for (const auto& parameter : one->named_parameters()) {
    EXPECT_TRUE(torch::equal(parameter.value(), b[parameter.key()])) << parameter.key();
    differs = differs || !torch::equal(parameter.value(), c[parameter.key()]);
  }
  EXPECT_TRUE(differs);
}

// The logits of a picture do not depend on those beside it, and nothing is recorded. Sums of up to 400 terms
// in about ten layers, relative to the largest logit: 64 roundings.
TEST_P(SmallModelTest, EvaluationLooksAtEachPictureAlone) {
  const auto model = make_classifier(config_, kSeed);
  {
    const torch::NoGradGuard no_grad;
    Tensor head = model->named_parameters()["head.weight"];
    head.copy_(InitialWeights(1).normal(head.sizes(), 0.1));
    model->train();
    for (std::uint64_t update = 0; update < 3; ++update)
      model->forward(pictures_for(name_, 4, 10 + update), {kSeed, update});
  }
  model->eval();
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> before;
  for (const Tensor& buffer : model->buffers()) before.push_back(buffer.clone());
  const Tensor pictures = pictures_for(name_, 5);
  const Tensor all = model->forward(pictures);
  const double tolerance = 64 * 0x1p-24 * all.abs().max().item<double>();
  for (std::int64_t i = 0; i < 5; ++i)
    EXPECT_LT((model->forward(pictures.narrow(0, i, 1)) - all.narrow(0, i, 1)).abs().max().item<double>(),
              tolerance);
  const auto after = model->buffers();
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(torch::equal(after[i], before[i]));
  EXPECT_TRUE(torch::equal(model->forward(pictures, {1, 1}), model->forward(pictures, {2, 2})));
  EXPECT_GT((all.narrow(0, 0, 1) - all.narrow(0, 1, 1)).abs().max().item<double>(), tolerance)
      << "the control";
  if (name_ == "resnet-mini") {
    EXPECT_FALSE(before.empty());
    model->train();
    EXPECT_GT((model->forward(pictures.narrow(0, 0, 1)) - all.narrow(0, 0, 1)).abs().max().item<double>(),
              tolerance)
        << "statistics of the batch";
  }
}

TEST_P(SmallModelTest, OtherPicturesThrow) {
  const auto model = make_classifier(config_, kSeed);
  EXPECT_THROW(model->forward(torch::zeros({2, 3, 28, 28})), c10::Error);
  EXPECT_THROW(model->forward(torch::zeros({1, 28, 28})), c10::Error);
  EXPECT_THROW(model->forward(torch::zeros({0, 1, 28, 28})), c10::Error);
  if (name_ != "resnet-mini") {
    EXPECT_THROW(model->forward(torch::zeros({2, 1, 6, 6})), c10::Error);
  }
}

TEST_P(SmallModelTest, NormsAreTold) {
  const auto model = make_classifier(config_, kSeed);
  for (const auto& parameter : model->named_parameters()) {
    const bool is_gain = parameter.key().ends_with(".weight") && parameter.value().dim() == 1;
    if (is_gain) {
      EXPECT_TRUE(is_of_norm(parameter.key())) << parameter.key();
    }
    if (is_of_norm(parameter.key())) {
      EXPECT_EQ(parameter.value().dim(), 1) << parameter.key();
    }
  }
  EXPECT_FALSE(is_of_norm("head.bias"));
  EXPECT_FALSE(is_of_norm("norm"));
  EXPECT_TRUE(is_of_norm("norm.bias"));
  EXPECT_TRUE(parameters_without_decay(*model, "all").empty());
  const auto norms = parameters_without_decay(*model, "not_norms");
  const auto vectors = parameters_without_decay(*model, "matrices");
  EXPECT_FALSE(norms.empty());
  EXPECT_GT(vectors.size(), norms.size());
  const std::set<std::string> kept(vectors.begin(), vectors.end());
  for (const auto& parameter : model->named_parameters())
    EXPECT_EQ(kept.contains(parameter.key()), parameter.value().dim() < 2 || parameter.key() == "positions")
        << parameter.key();
}

INSTANTIATE_TEST_SUITE_P(All, SmallModelTest, ::testing::Values("vit-mini", "convnext-mini", "resnet-mini"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

/// The deviation of many normal numbers is within five of its own deviations, 1/sqrt(2n) of it.
void expect_normal(const Tensor& weight, double deviation) {
  const double n = static_cast<double>(weight.numel());
  EXPECT_NEAR(weight.std().item<double>() / deviation, 1.0, 5.0 / std::sqrt(2.0 * n));
  EXPECT_NEAR(weight.mean().item<double>() / deviation, 0.0, 5.0 / std::sqrt(n));
}
void expect_uniform(const Tensor& weight, double bound) {
  const double n = static_cast<double>(weight.numel());
  EXPECT_LE(weight.abs().max().item<double>(), bound);
  EXPECT_GT(weight.abs().max().item<double>(), bound * (1.0 - 20.0 / n));
  EXPECT_NEAR(weight.mean().item<double>() / bound, 0.0, 5.0 / std::sqrt(3.0 * n));
}

TEST(InitialWeightsTest, AreThoseOfTheRecipes) {
  const torch::NoGradGuard no_grad;
  const auto vit = make_classifier(find_model("vit-mini")->config(), kSeed)->named_parameters();
  expect_normal(vit["patches.weight"], 1.0 / 7.0);
  expect_normal(vit["positions"], 0.02);
  expect_uniform(vit["layers.2.projections.weight"], std::sqrt(6.0 / (64 + 192)));
  expect_uniform(vit["layers.2.output.weight"], 1.0 / 8.0);
  expect_uniform(vit["layers.2.mlp.inner.weight"], std::sqrt(6.0 / (64 + 128)));
  expect_normal(vit["layers.2.mlp.inner.bias"], 1e-6);
  for (const char* zero : {"patches.bias", "class_token", "layers.2.projections.bias", "layers.2.output.bias",
                           "head.weight", "head.bias"})
    EXPECT_EQ(vit[zero].abs().max().item<float>(), 0.0f) << zero;

  ConvNextConfig config = std::get<ConvNextConfig>(find_model("convnext-mini")->config());
  config.layer_scale = 0.25;
  const auto convnext = make_classifier(config, kSeed)->named_parameters();
  expect_normal(convnext["stages.2.blocks.0.mlp.inner.weight"], 0.02);
  expect_normal(convnext["stages.1.halving.weight"], 0.02);
  EXPECT_TRUE(convnext["stages.1.blocks.0.layer_scale"].eq(0.25).all().item<bool>());
  EXPECT_EQ(convnext["stem.bias"].abs().max().item<float>(), 0.0f);

  const auto resnet = make_classifier(find_model("resnet-mini")->config(), kSeed)->named_parameters();
  expect_normal(resnet["stages.2.blocks.0.first.weight"], std::sqrt(2.0 / (64 * 9)));
  expect_normal(resnet["stages.2.blocks.0.shortcut.weight"], std::sqrt(2.0 / 64));
  expect_uniform(resnet["head.weight"], 1.0 / 8.0);
  EXPECT_TRUE(resnet["stages.0.blocks.0.second_norm.weight"].eq(1).all().item<bool>());
}

TEST(DropPathTest, DropsWholeSamplesByTheDraw) {
  const Tensor branch = torch::ones({4000, 2, 3});
  const nn::Draw draw{kSeed, 7};
  const Tensor dropped = drop_path(branch, 0.25, draw.key(1));
  const Tensor of_sample = dropped.select(1, 0).select(1, 0);
  EXPECT_TRUE(torch::equal(dropped, of_sample.view({4000, 1, 1}).expand({4000, 2, 3})))
      << "samples, not pixels";
  EXPECT_TRUE((of_sample.eq(0) | (of_sample - 1 / 0.75).abs().lt(1e-6)).all().item<bool>());
  // Of a binomial distribution: five deviations.
  EXPECT_NEAR(of_sample.eq(0).sum().item<double>() / 4000, 0.25, 5 * std::sqrt(0.25 * 0.75 / 4000));
  EXPECT_TRUE(torch::equal(dropped, drop_path(branch, 0.25, draw.key(1))));
  EXPECT_FALSE(torch::equal(dropped, drop_path(branch, 0.25, draw.key(2))));
  EXPECT_TRUE(torch::equal(drop_path(branch, 0, draw.key(1)), branch));
  EXPECT_EQ(drop_path_rate(0.1, 0, 18), 0.0);
  EXPECT_NEAR(drop_path_rate(0.1, 17, 18), 0.1, 1e-15);
}

TEST(DropPathTest, ActsInTrainingOnly) {
  VitConfig vit = std::get<VitConfig>(find_model("vit-mini")->config());
  vit.drop_path = 0.5;
  vit.dropout = 0.2;
  ConvNextConfig convnext = std::get<ConvNextConfig>(find_model("convnext-mini")->config());
  convnext.drop_path = 0.5;
  convnext.layer_scale = 1.0;
  const torch::NoGradGuard no_grad;
  for (const ModelConfig& config : {ModelConfig(vit), ModelConfig(convnext)}) {
    const auto model = make_classifier(config, kSeed);
    Tensor head = model->named_parameters()["head.weight"];
    head.copy_(InitialWeights(1).normal(head.sizes(), 0.1));
    const Tensor pictures = InitialWeights(2).normal({8, 1, 28, 28}, 1.0);
    model->train();
    const Tensor first = model->forward(pictures, {7, 1});
    EXPECT_TRUE(torch::equal(first, model->forward(pictures, {7, 1})));
    EXPECT_FALSE(torch::equal(first, model->forward(pictures, {7, 2})));
    EXPECT_FALSE(torch::equal(first, model->forward(pictures, {8, 1})));
    model->eval();
    EXPECT_TRUE(torch::equal(model->forward(pictures, {7, 1}), model->forward(pictures, {7, 2})));
  }
}

}  // namespace
}  // namespace gradstab::lab::vision
