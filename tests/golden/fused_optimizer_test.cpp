// The library's own optimizers, alone and with stabilize in front, against whole trajectories of the authors'
// code: in double, and in float32 on every backend that this machine runs.
#include <gtest/gtest.h>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using fixture::difference;
using fixture::Values;
using testing::Gradients;

template <class Options>
Options common(const fixture::Case& golden) {
  Options options;
  options.lr = golden.hyper_number("lr");
  if (golden.hyper.contains("weight_decay")) options.weight_decay = golden.hyper_number("weight_decay");
  return options;
}

template <class Options>
Options with_betas(const fixture::Case& golden) {
  auto options = common<Options>(golden);
  options.beta1 = golden.hyper_number("beta1");
  options.beta2 = golden.hyper_number("beta2");
  if constexpr (requires { options.epsilon; }) options.epsilon = golden.hyper_number("eps");
  return options;
}

OptimizerOptions options_of(const std::string& method, const fixture::Case& golden) {
  const auto& hyper = golden.hyper;
  if (method.ends_with("sgd_momentum")) {
    auto options = common<SgdOptions>(golden);
    options.momentum = golden.hyper_number("momentum");
    if (hyper.contains("dampening")) options.dampening = golden.hyper_number("dampening");
    if (hyper.contains("nesterov")) options.nesterov = hyper.at("nesterov").get<bool>();
    return options;
  }
  if (method.ends_with("lion")) {
    auto options = with_betas<LionOptions>(golden);
    if (hyper.contains("decoupled_weight_decay") && hyper.at("decoupled_weight_decay").get<bool>())
      options.decay_over_lr = options.lr;
    return options;
  }
  if (method == "adam_mini") {
    auto options = with_betas<AdamMiniOptions>(golden);
    options.dim = hyper.at("dim").get<std::int64_t>();
    options.n_heads = hyper.at("n_heads").get<std::int64_t>();
    return options;
  }
  if (method == "spam") {
    auto options = with_betas<SpamOptions>(golden);
    options.threshold = golden.hyper_number("threshold");
    options.reset_interval = hyper.at("DeltaT").get<std::int64_t>();
    options.warmup_steps = hyper.at("warmup_steps").get<std::int64_t>();
    options.quiet_steps = hyper.at("grad_accu_steps").get<std::int64_t>();
    return options;
  }
  auto options = with_betas<AdamOptions>(golden);
  options.decoupled =
      method == "gs_adamw" || (hyper.contains("decoupled") && hyper.at("decoupled").get<bool>());
  options.amsgrad = hyper.contains("amsgrad") && hyper.at("amsgrad").get<bool>();
  return options;
}

std::optional<GradientTransform> transform_of(const std::string& method, const fixture::Case& golden) {
  if (!method.starts_with("gs_")) return {};
  StabilizerOptions options;
  options.gamma1 = golden.hyper_number("gamma1");
  options.gamma2 = golden.hyper_number("gamma2");
  options.epsilon = golden.hyper_number("eps_gs");
  options.bias_correction = golden.hyper.at("bias_correction").get<bool>();
  return stabilize(options);
}

struct GoldenRun {
  std::string method;
  std::string name;
  std::string backend;
  DType dtype;
};

std::vector<GoldenRun> all_runs() {
  std::vector<GoldenRun> runs;
  for (const char* method : {"sgd_momentum", "adam", "adamw", "amsgrad", "lion", "adam_mini", "spam",
                             "gs_adamw", "gs_lion", "gs_sgd_momentum"}) {
    for (const std::string& name : fixture::case_names(method)) {
      runs.push_back({method, name, "reference", DType::float64});
      for (const Backend* backend : backends()) {
        if (backend->supported())
          runs.push_back({method, name, std::string(backend->name()), DType::float32});
      }
    }
  }
  return runs;
}

class FusedOptimizerGoldenTest : public ::testing::TestWithParam<GoldenRun> {
 protected:
  const fixture::Case golden_ = fixture::load_case(GetParam().method, GetParam().name);
};

TEST_P(FusedOptimizerGoldenTest, ParametersAndStateFollowTheAuthorsCode) {
  const auto& [method, name, backend, dtype] = GetParam();
  std::vector<Parameter> list;
  for (const fixture::Tensor& tensor : golden_.tensors) list.push_back({tensor.name, tensor.sizes});
  const ParameterSet parameters = testing::parameter_set(list);
  Optimizer optimizer(options_of(method, golden_), transform_of(method, golden_));
  const Status made =
      optimizer.init(parameters, {.run = {.nonfinite = NonFinitePolicy::pass_through, .backend = backend}});
  ASSERT_TRUE(made.ok()) << made.message();

  const bool wide = dtype == DType::float64;
  const double tolerance = wide ? 1e-12 : 8e-6;
  Gradients weights(parameters, dtype);
  Gradients gradients(parameters, dtype);
  for (std::size_t i = 0; i < list.size(); ++i) weights.set(i, golden_.tensors[i].init);
  for (const fixture::Step& step : golden_.steps) {
    SCOPED_TRACE(::testing::Message() << "step " << step.t << ", " << step.kind);
    gradients.set_all(step.gradients());
    const auto before = gradients.values();
    const auto report = optimizer.step(weights.refs(), gradients.refs());
    ASSERT_TRUE(report.ok()) << report.status().message();
    EXPECT_EQ(gradients.values(), before) << "gradients are never written";
    const auto expected = step.tensors(wide ? "param64" : "param32");
    EXPECT_EQ(difference(weights.values(), expected, tolerance), "");
    EXPECT_NE(difference(fixture::perturbed(weights.values(), tolerance), expected, tolerance), "");
    const char* elements = wide ? "elem64" : "elem32";
    if (!step.has(elements)) continue;
    for (const auto& [key, values] : step.data.at(elements).items()) {
      const std::size_t k = key == "exp_avg" ? 0 : key == "exp_avg_sq" ? 1 : 2;
      for (std::size_t i = 0; i < list.size(); ++i) {
        const auto state = optimizer.parameter_state(i);
        ASSERT_TRUE(state.ok());
        EXPECT_EQ(difference(state->values.at(k), fixture::to_values(values.at(i)), tolerance), "")
            << key << " of " << list[i].name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, FusedOptimizerGoldenTest, ::testing::ValuesIn(all_runs()), [](const auto& test) {
      std::string text = test.param.method + "_" + test.param.name + "_" + test.param.backend + "_" +
                         std::string(to_string(test.param.dtype));
      std::erase_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_'; });
      return text;
    });

}  // namespace
}  // namespace gradstab
