// The settings of clipping.hpp: their presets, their ranges, and what is said about values outside.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "gradstab/clipping.hpp"
#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

template <class Options>
std::string message(const Options& options) {
  const Status status = options.validate();
  EXPECT_EQ(status.code(), status.ok() ? StatusCode::ok : StatusCode::invalid_argument);
  return status.message();
}

TEST(ClippingOptionsTest, PresetsHoldTheNumbersOfThePapers) {
  EXPECT_EQ(ClipByValueOptions::gradient_stabilizer().max_abs, 0.1);
  EXPECT_EQ(GlobalNormOptions::gradient_stabilizer().max_norm, 1.0);
  EXPECT_EQ(AdaptiveClipOptions::nfnet().clip_factor, 0.01);
  EXPECT_EQ(AdaptiveClipOptions::nfnet().epsilon, 1e-3);
  EXPECT_FALSE(AdaptiveClipOptions::nfnet().exclude.empty());
  EXPECT_EQ(ZClipOptions::zclip().alpha, 0.97);
  EXPECT_EQ(ZClipOptions::zclip().z_threshold, 2.5);
  EXPECT_EQ(ZClipOptions::zclip().warmup_steps, 25);
  EXPECT_EQ(ZClipOptions::zclip().max_norm, 1.0);
  EXPECT_EQ(AdaGcOptions::adagc_v1().relative, 1.05);
  EXPECT_EQ(AdaGcOptions::adagc_v1().beta, 0.98);
  EXPECT_EQ(AdaGcOptions::adagc_v1().compat, Compat::robust);
  EXPECT_EQ(AdaGcOptions::released().relative, 1.04);
  EXPECT_EQ(AdaGcOptions::released().beta, 0.99);
  EXPECT_EQ(AdaGcOptions::released().compat, Compat::released);
  EXPECT_EQ(SpikeAwareClipOptions::spam().threshold, 5000.0);
  EXPECT_EQ(SpikeAwareClipOptions::spam().reset_interval, 500);
  EXPECT_EQ(AdaptiveValueClipOptions::stable_spam().theta, 0.999);
  EXPECT_EQ(AdaptiveNormOptions::stable_spam().gamma1, 0.7);
  EXPECT_EQ(AdaptiveNormOptions::stable_spam().gamma2, 0.9);
}

TEST(ClippingOptionsTest, PresetsAreValid) {
  EXPECT_EQ(message(ClipByValueOptions::gradient_stabilizer()), "");
  EXPECT_EQ(message(GlobalNormOptions::gradient_stabilizer()), "");
  EXPECT_EQ(message(AdaptiveClipOptions::nfnet()), "");
  EXPECT_EQ(message(ZClipOptions::zclip()), "");
  EXPECT_EQ(message(AdaGcOptions::adagc_v1()), "");
  EXPECT_EQ(message(AdaGcOptions::released()), "");
  EXPECT_EQ(message(SpikeAwareClipOptions::spam()), "");
  EXPECT_EQ(message(AdaptiveValueClipOptions::stable_spam()), "");
  EXPECT_EQ(message(AdaptiveNormOptions::stable_spam()), "");
}

TEST(ClippingOptionsTest, ASettingOutOfRangeIsNamedWithItsValueAndRange) {
  EXPECT_EQ(message(ClipByValueOptions{.max_abs = 0.0}), "max_abs must be finite and above 0, got 0");
  EXPECT_EQ(message(ClipByValueOptions{.max_abs = kInf}), "max_abs must be finite and above 0, got inf");
  EXPECT_EQ(message(GlobalNormOptions{.max_norm = -1.0}), "max_norm must be finite and above 0, got -1");
  EXPECT_EQ(message(GlobalNormOptions{.p = 0.5}), "p must be at least 1, or infinite, got 0.5");
  EXPECT_EQ(message(GlobalNormOptions{.p = kNaN}), "p must be at least 1, or infinite, got nan");
  EXPECT_EQ(message(GlobalNormOptions::largest_entry()), "");
  EXPECT_EQ(message(AdaptiveClipOptions{.clip_factor = 0.0}),
            "clip_factor must be finite and above 0, got 0");
  EXPECT_EQ(message(AdaptiveClipOptions{.epsilon = 0.0}), "epsilon must be finite and above 0, got 0");
  EXPECT_EQ(message(AdaptiveClipOptions{.norm_floor = -1.0}),
            "norm_floor must be finite and at least 0, got -1");
  EXPECT_EQ(message(AdaptiveClipOptions{.exclude = {"a", ""}}), "pattern 1 of exclude is empty");
  EXPECT_EQ(message(ZClipOptions{.alpha = 1.0}), "alpha must be in [0, 1), got 1");
  EXPECT_EQ(message(ZClipOptions{.z_threshold = 0.0}), "z_threshold must be finite and above 0, got 0");
  EXPECT_EQ(message(ZClipOptions{.max_norm = 0.0}), "max_norm must be above 0, or infinite for none, got 0");
  EXPECT_EQ(message(ZClipOptions{.max_norm = kInf}), "");
  EXPECT_EQ(message(ZClipOptions{.epsilon = -1.0}), "epsilon must be finite and at least 0, got -1");
  EXPECT_EQ(message(ZClipOptions{.warmup_steps = 0}), "warmup_steps must be at least 1, got 0");
  EXPECT_EQ(message(ZClipOptions{.mode = static_cast<ZClipMode>(7)}), "mode has no such choice, got value 7");
  EXPECT_EQ(message(ZClipOptions{.target = static_cast<ZClipTarget>(7)}),
            "target has no such choice, got value 7");
  EXPECT_EQ(message(ZClipOptions{.clip_factor = -1.0}), "clip_factor must be finite and above 0, got -1");
  EXPECT_EQ(message(ZClipOptions{.compat = static_cast<Compat>(7)}),
            "compat has no such choice, got value 7");
  EXPECT_EQ(message(AdaGcOptions{.relative = 0.0}), "relative must be finite and above 0, got 0");
  EXPECT_EQ(message(AdaGcOptions{.absolute = kNaN}), "absolute must be finite and above 0, got nan");
  EXPECT_EQ(message(AdaGcOptions{.beta = 1.5}), "beta must be in [0, 1), got 1.5");
  EXPECT_EQ(message(AdaGcOptions{.warmup_steps = -1}), "warmup_steps must be at least 0, got -1");
  EXPECT_EQ(message(AdaGcOptions{.epsilon = kInf}), "epsilon must be finite and at least 0, got inf");
  EXPECT_EQ(message(AdaGcOptions{.compat = static_cast<Compat>(7)}),
            "compat has no such choice, got value 7");
  EXPECT_EQ(message(SpikeAwareClipOptions{.threshold = 0.0}), "threshold must be finite and above 0, got 0");
  EXPECT_EQ(message(SpikeAwareClipOptions{.beta2 = -0.5}), "beta2 must be in [0, 1), got -0.5");
  EXPECT_EQ(message(SpikeAwareClipOptions{.reset_interval = -2}),
            "reset_interval must be at least 0, got -2");
  EXPECT_EQ(message(SpikeAwareClipOptions{.quiet_steps = -2}), "quiet_steps must be at least 0, got -2");
  EXPECT_EQ(message(AdaptiveValueClipOptions{.theta = 1.0}), "theta must be in [0, 1), got 1");
  EXPECT_EQ(message(AdaptiveValueClipOptions{.reset_interval = -2}),
            "reset_interval must be at least 0, got -2");
  EXPECT_EQ(message(AdaptiveValueClipOptions{.reset_interval = 5}),
            "reset_interval is only for compat 'released' and must be 0 here, got 5");
  EXPECT_EQ(message(AdaptiveNormOptions{.gamma1 = 1.0}), "gamma1 must be in [0, 1), got 1");
  EXPECT_EQ(message(AdaptiveNormOptions{.gamma2 = -1.0}), "gamma2 must be in [0, 1), got -1");
  EXPECT_EQ(message(AdaptiveNormOptions{.epsilon = -1.0}), "epsilon must be finite and at least 0, got -1");
  EXPECT_EQ(message(AdaptiveNormOptions{.total_steps = -1}), "total_steps must be at least 0, got -1");
  EXPECT_EQ(message(AdaptiveNormOptions{.least_scale = 1.5}), "least_scale must be in [0, 1], got 1.5");
  EXPECT_EQ(message(AdaptiveNormOptions{.reset_interval = 5}),
            "reset_interval is only for compat 'released' and must be 0 here, got 5");
}

/// What is wrong with a transform is what is wrong with its settings.
TEST(ClippingOptionsTest, InitRefusesWhatValidateRefuses) {
  const std::function<GradientTransform()> wrong[] = {[] { return clip_by_value(-1.0); },
                                                      [] { return clip_by_global_norm({.p = 0.0}); },
                                                      [] { return adaptive_clip({.clip_factor = -1.0}); },
                                                      [] { return zclip({.alpha = -1.0}); },
                                                      [] { return adagc({.beta = -1.0}); },
                                                      [] { return spike_aware_clip({.threshold = -1.0}); },
                                                      [] { return adaptive_value_clip({.theta = -1.0}); },
                                                      [] { return adaptive_norm({.gamma1 = -1.0}); },
                                                      [] {
                                                        return adaptive_norm({}, {.groups = {{"a", {"b"}}}});
                                                      },
                                                      [] {
                                                        return normalize({.groups = {{"a", {"b"}}}});
                                                      },
                                                      [] { return scale_by(kNaN); }};
  for (const auto& make : wrong) {
    GradientTransform transform = chain(stabilize(), make());
    const Status status = transform.init(testing::parameter_set_of_sizes({{2}}));
    EXPECT_EQ(status.code(), StatusCode::invalid_argument) << transform.name();
    EXPECT_EQ(status.message(), transform.validate().message());
    EXPECT_NE(status.message(), "");
  }
  EXPECT_EQ(scale_by(kInf).validate().message(), "factor must be finite, got inf");
}

}  // namespace
}  // namespace gradstab
