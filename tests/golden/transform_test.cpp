// The methods of clipping.hpp against the original code and against independent float64 runs, gradients and
// statistics, on every backend.
//
// Their robust form agrees with the released one until a gradient of zeros or a non-finite one comes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "gradstab/gradstab.hpp"
#include "support/elements.hpp"
#include "support/gradients.hpp"
#include "support/state_field.hpp"

namespace gradstab {
namespace {

using fixture::difference;
using fixture::Values;
using testing::Gradients;

/// `wrong` makes one setting a little wrong, for negative controls.
GradientTransform make(const std::string& method, const fixture::Case& golden, Compat compat, bool wrong) {
  const double off = wrong ? 1.01 : 1.0;
  const auto& hyper = golden.hyper;
  if (method == "value_clip") return clip_by_value(off * golden.hyper_number("clip_value"));
  if (method == "agc") {
    return adaptive_clip({.clip_factor = off * golden.hyper_number("clip_factor"),
                          .epsilon = golden.hyper_number("eps"),
                          .norm_floor = golden.hyper_number("norm_floor"),
                          .exclude = {}});
  }
  if (method == "adagc") {
    return adagc({.relative = golden.hyper_number("lam_rel"),
                  .absolute = golden.hyper_number("lam_abs"),
                  .beta = golden.hyper_number("beta") / off,
                  .warmup_steps = hyper.at("T_start").get<std::int64_t>(),
                  .epsilon = golden.hyper_number("eps"),
                  .compat = compat});
  }
  ZClipOptions options;
  options.alpha = golden.hyper_number("alpha") / off;
  options.z_threshold = golden.hyper_number("z_thresh");
  options.max_norm = hyper.at("max_grad_norm").is_null() ? std::numeric_limits<double>::infinity()
                                                         : golden.hyper_number("max_grad_norm");
  options.epsilon = golden.hyper_number("eps");
  options.warmup_steps = hyper.at("warmup_steps").get<std::int64_t>();
  options.mode = hyper.at("mode") == "percentile" ? ZClipMode::percentile : ZClipMode::zscore;
  options.target = hyper.at("clip_option") == "mean" ? ZClipTarget::mean : ZClipTarget::adaptive_scaling;
  options.clip_factor = golden.hyper_number("clip_factor");
  options.skip_update_on_spike = hyper.at("skip_update_on_spike").get<bool>();
  options.compat = compat;
  return zclip(options);
}

struct GoldenRun {
  std::string method;
  std::string name;
  std::string backend;
  DType dtype;
};

std::vector<GoldenRun> all_runs() {
  std::vector<GoldenRun> runs;
  for (const char* method : {"value_clip", "agc", "zclip", "adagc"}) {
    for (const std::string& name : fixture::case_names(method)) {
      for (const Backend* backend : testing::supported_backends()) {
        for (const DType dtype : {DType::float64, DType::float32})
          runs.push_back({method, name, std::string(backend->name()), dtype});
      }
    }
  }
  return runs;
}

class TransformGoldenTest : public ::testing::TestWithParam<GoldenRun> {
 protected:
  bool wide() const { return GetParam().dtype == DType::float64; }

  /// The first step whose gradients or statistics differ, and how; `until` says where to stop.
  template <class Until>
  std::string first_difference(Compat compat, bool wrong, Until until) {
    const auto& [method, name, backend, dtype] = GetParam();
    std::vector<Parameter> list;
    for (const fixture::Tensor& tensor : golden_.tensors) list.push_back({tensor.name, tensor.sizes});
    const ParameterSet parameters = testing::parameter_set(list);
    GradientTransform transform = make(method, golden_, compat, wrong);
    transform.init(parameters, {.nonfinite = NonFinitePolicy::pass_through, .backend = backend}).check();
    Gradients gradients(parameters, dtype);
    Gradients values(parameters, dtype);
    for (std::size_t i = 0; i < golden_.tensors.size(); ++i) {
      if (!golden_.tensors[i].init.empty()) values.set(i, golden_.tensors[i].init);
    }
    steps_ = 0;
    for (const fixture::Step& step : golden_.steps) {
      if (until(step)) break;
      ++steps_;
      gradients.set_all(step.gradients());
      const StepReport report = transform.update(gradients.refs(), values.refs()).value();
      std::string differs =
          difference(gradients.values(), step.tensors(wide() ? "out64" : "out32"), wide() ? 1e-12 : 4e-6);
      differs += difference_of_state(method, transform, step);
      if (method == "zclip" && report.spikes > 0) {
        if (step.data.at("state64").at("threshold").is_null()) differs += "a spike that was none";
      } else if (method == "zclip" && !step.data.at("state64").at("threshold").is_null()) {
        differs += "a spike was overlooked";
      }
      if (!differs.empty()) return "step " + std::to_string(step.t) + " " + step.kind + ": " + differs;
    }
    return "";
  }

  /// Statistics are compared with the float64 run; float32 gradients of a float32 run lead there as well.
  std::string difference_of_state(const std::string& method, const GradientTransform& transform,
                                  const fixture::Step& step) {
    const double tolerance = 1e-11;
    if (method == "adagc") {
      const Values averages = testing::state_field(transform, "gamma");
      const Values expected = step.state("state64", "gamma");
      return difference(std::span<const double>(averages), std::span<const double>(expected), tolerance);
    }
    if (method != "zclip" || step.data.at("state64").at("mean").is_null()) return "";
    const double mean[] = {testing::state_field(transform, "mean").front()};
    const double variance[] = {testing::state_field(transform, "var").front()};
    const double expected_mean[] = {fixture::to_number(step.data.at("state64").at("mean"))};
    const double expected_variance[] = {fixture::to_number(step.data.at("state64").at("var"))};
    return difference(std::span<const double>(mean), std::span<const double>(expected_mean), tolerance) +
           difference(std::span<const double>(variance), std::span<const double>(expected_variance),
                      tolerance);
  }

  /// Whether a norm of zero would enter statistics: one tensor's in AdaGC, that of all in ZClip.
  bool is_zero(const fixture::Step& step) const {
    if (GetParam().method == "adagc") return step.kind.starts_with("zero");
    return GetParam().method == "zclip" && step.kind == "zero_all";
  }
  static bool never(const fixture::Step&) { return false; }

  const fixture::Case golden_ = fixture::load_case(GetParam().method, GetParam().name);
  int steps_ = 0;
};

TEST_P(TransformGoldenTest, TheReleasedFormFollowsTheAuthorsCodeToTheEnd) {
  EXPECT_EQ(first_difference(Compat::released, false, never), "");
  EXPECT_EQ(static_cast<std::size_t>(steps_), golden_.steps.size());
}

TEST_P(TransformGoldenTest, TheRobustFormIsTheSameUntilANormOfZero) {
  const auto until = [this](const fixture::Step& step) { return is_zero(step); };
  EXPECT_EQ(first_difference(Compat::robust, false, until), "");
  EXPECT_GE(steps_, GetParam().name == "zero_in_warmup" ? 3 : 25);
}

TEST_P(TransformGoldenTest, AWrongSettingIsSeen) {
  EXPECT_NE(first_difference(Compat::released, true, never), "");
  if (GetParam().name == "zero_in_warmup") return;  // it ends before what is wrong matters
  const auto until = [this](const fixture::Step& step) { return is_zero(step); };
  EXPECT_NE(first_difference(Compat::robust, true, until), "");
}

std::string test_name(const ::testing::TestParamInfo<GoldenRun>& test) {
  std::string text = test.param.method + "_" + test.param.name + "_" + test.param.backend + "_" +
                     std::string(to_string(test.param.dtype));
  std::erase_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_'; });
  return text;
}

INSTANTIATE_TEST_SUITE_P(All, TransformGoldenTest, ::testing::ValuesIn(all_runs()), test_name);

/// One zero gradient in the warm-up: as released that tensor never has a gradient again.
TEST(TransformDefectGoldenTest, ATensorThatWasZeroInTheWarmUpOfAdaGcIsNotLost) {
  const fixture::Case golden = fixture::load_case("adagc", "zero_in_warmup");
  std::vector<Parameter> list;
  for (const fixture::Tensor& tensor : golden.tensors) list.push_back({tensor.name, tensor.sizes});
  const ParameterSet parameters = testing::parameter_set(list);
  for (const Compat compat : {Compat::released, Compat::robust}) {
    GradientTransform transform = make("adagc", golden, compat, false);
    ASSERT_TRUE(transform.init(parameters).ok());
    Gradients gradients(parameters, DType::float64);
    for (const fixture::Step& step : golden.steps) {
      gradients.set_all(step.gradients());
      ASSERT_TRUE(transform.update(gradients.refs()).ok());
    }
    const double norm = testing::norm_of(gradients.values(1));
    EXPECT_EQ(norm == 0.0, compat == Compat::released) << norm;
  }
}

/// SPAM's gradients as its step leaves them, by the transform alone.
class SpikeAwareClipGoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::string first_difference(DType dtype, double threshold_off) {
    const fixture::Case golden = fixture::load_case("spam", GetParam());
    std::vector<Parameter> list;
    for (const fixture::Tensor& tensor : golden.tensors) list.push_back({tensor.name, tensor.sizes});
    const ParameterSet parameters = testing::parameter_set(list);
    GradientTransform transform =
        spike_aware_clip({.threshold = threshold_off * golden.hyper_number("threshold"),
                          .beta2 = golden.hyper_number("beta2"),
                          .reset_interval = golden.hyper.at("DeltaT").get<std::int64_t>(),
                          .quiet_steps = golden.hyper.at("grad_accu_steps").get<std::int64_t>(),
                          .compat = Compat::released});
    transform.init(parameters).check();
    Gradients gradients(parameters, dtype);
    const bool wide = dtype == DType::float64;
    for (const fixture::Step& step : golden.steps) {
      gradients.set_all(step.gradients());
      transform.update(gradients.refs()).value();
      const std::string differs = difference(
          gradients.values(), step.tensors(wide ? "grad_after64" : "grad_after32"), wide ? 1e-12 : 4e-6);
      if (!differs.empty()) return "step " + std::to_string(step.t) + ": " + differs;
    }
    return "";
  }
};

TEST_P(SpikeAwareClipGoldenTest, GradientsAreClippedAsInTheAuthorsStep) {
  for (const DType dtype : {DType::float64, DType::float32}) {
    EXPECT_EQ(first_difference(dtype, 1.0), "");
    EXPECT_NE(first_difference(dtype, 1.01), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, SpikeAwareClipGoldenTest, ::testing::ValuesIn(fixture::case_names("spam")),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradstab
