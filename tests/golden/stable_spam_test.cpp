// Stable-SPAM put together from adaptive_value_clip, adaptive_norm and Adam with a reset interval, against
// whole trajectories of the authors' code.
#include <gtest/gtest.h>

#include <cmath>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "support/elements.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

using fixture::difference;
using testing::Gradients;

struct GoldenRun {
  std::string name;
  std::string backend;
  DType dtype;
};

std::vector<GoldenRun> all_runs() {
  std::vector<GoldenRun> runs;
  for (const std::string& name : fixture::case_names("stable_spam")) {
    runs.push_back({name, "reference", DType::float64});
    for (const Backend* backend : testing::supported_backends())
      runs.push_back({name, std::string(backend->name()), DType::float32});
  }
  return runs;
}

class StableSpamGoldenTest : public ::testing::TestWithParam<GoldenRun> {
 protected:
  AdamOptions adam(Compat compat) const {
    auto options = AdamOptions::stable_spam();
    options.lr = golden_.hyper_number("lr");
    options.epsilon = golden_.hyper_number("eps");
    options.weight_decay = golden_.hyper_number("weight_decay");
    options.amsgrad = golden_.hyper.at("amsgrad").get<bool>();
    options.beta1 = golden_.hyper_number("beta1");
    options.beta2 = golden_.hyper_number("beta2");
    options.reset_interval = golden_.hyper.at("update_proj_gap").get<std::int64_t>();
    options.compat = compat;
    return options;
  }

  AdaptiveNormOptions norm(Compat compat) const {
    auto options = AdaptiveNormOptions::stable_spam();
    const double gamma1 = golden_.hyper_number("gamma1");
    options.gamma1 = gamma1 < 0.0 ? golden_.hyper_number("beta1") : gamma1;
    options.gamma2 = golden_.hyper_number("gamma2");
    options.epsilon = golden_.hyper_number("eps");
    const auto& total = golden_.hyper.at("total_T");
    options.total_steps = total.is_null() ? 0 : total.get<std::int64_t>();
    options.least_scale = golden_.hyper_number("eta_min");
    options.compat = compat;
    if (compat == Compat::released) options.reset_interval = adam(compat).reset_interval;
    return options;
  }

  /// The first step that differs; `theta_off` makes a setting wrong. Stops at the first step of which `until`
  /// is true.
  template <class Until>
  std::string first_difference(Compat compat, double theta_off, Until until) {
    const auto& [name, backend, dtype] = GetParam();
    std::vector<Parameter> list;
    for (const fixture::Tensor& tensor : golden_.tensors) list.push_back({tensor.name, tensor.sizes});
    const ParameterSet parameters = testing::parameter_set(list);
    AdaptiveValueClipOptions clip;
    clip.theta = theta_off * golden_.hyper_number("gamma3");
    clip.compat = compat;
    if (compat == Compat::released) clip.reset_interval = adam(compat).reset_interval;
    Optimizer optimizer(adam(compat), chain(adaptive_value_clip(clip), adaptive_norm(norm(compat))));
    optimizer.init(parameters, {.run = {.backend = backend}}).check();
    const bool wide = dtype == DType::float64;
    const double tolerance = wide ? 1e-12 : 8e-6;
    Gradients weights(parameters, dtype);
    Gradients gradients(parameters, dtype);
    for (std::size_t i = 0; i < list.size(); ++i) weights.set(i, golden_.tensors[i].init);
    steps_ = 0;
    for (const fixture::Step& step : golden_.steps) {
      if (until(step)) break;
      ++steps_;
      auto options = adam(compat);
      options.beta1 *= norm(compat).scale_at(step.t);
      optimizer.set_options(0, options).check();
      gradients.set_all(step.gradients());
      optimizer.step(weights.refs(), gradients.refs()).value();
      std::string differs =
          difference(weights.values(), step.tensors(wide ? "param64" : "param32"), tolerance);
      differs += difference(gradients.values(), step.tensors(wide ? "grad_after64" : "grad_after32"),
                            wide ? 1e-12 : 4e-6);
      if (step.has("elem64")) {
        for (const auto& [key, values] : step.data.at(wide ? "elem64" : "elem32").items()) {
          const std::size_t k = key == "exp_avg" ? 0 : key == "exp_avg_sq" ? 1 : 2;
          for (std::size_t i = 0; i < list.size(); ++i) {
            const auto state = optimizer.parameter_state(i).value();
            differs += difference(state.values.at(k), fixture::to_values(values.at(i)), tolerance);
          }
        }
      }
      if (!differs.empty()) return "step " + std::to_string(step.t) + " " + step.kind + ": " + differs;
    }
    return "";
  }

  static bool never(const fixture::Step&) { return false; }

  const fixture::Case golden_ = fixture::load_case("stable_spam", GetParam().name);
  int steps_ = 0;
};

TEST_P(StableSpamGoldenTest, TheReleasedFormFollowsTheAuthorsCodeToTheEnd) {
  EXPECT_EQ(first_difference(Compat::released, 1.0, never), "");
  EXPECT_EQ(static_cast<std::size_t>(steps_), golden_.steps.size());
}

TEST_P(StableSpamGoldenTest, TheRobustFormIsTheSameUntilAResetOrAGradientOfZeros) {
  const std::int64_t interval = adam(Compat::robust).reset_interval;
  EXPECT_EQ(first_difference(Compat::robust, 1.0,
                             [&](const fixture::Step& step) {
                               return step.kind.starts_with("zero") || step.t == interval;
                             }),
            "");
  EXPECT_GE(steps_, 14);
}

TEST_P(StableSpamGoldenTest, AWrongSettingIsSeen) {
  EXPECT_NE(first_difference(Compat::released, 0.99, never), "");
  if (adam(Compat::released).reset_interval % 100 != 0) {
    EXPECT_NE(first_difference(Compat::robust, 1.0, never), "") << "the released resets differ";
  }
}

INSTANTIATE_TEST_SUITE_P(All, StableSpamGoldenTest, ::testing::ValuesIn(all_runs()), [](const auto& test) {
  std::string text =
      test.param.name + "_" + test.param.backend + "_" + std::string(to_string(test.param.dtype));
  std::erase_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_'; });
  return text;
});

}  // namespace
}  // namespace gradstab
