// A transform in front of an optimizer: the same as the transform applied to a copy of the gradients, then
// the optimizer alone.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

struct Front {
  const char* name;
  std::function<GradientTransform()> make;
  bool element_wise = false;  // writes the gradients

  friend std::ostream& operator<<(std::ostream& out, const Front& front) { return out << front.name; }
};

const std::vector<Front>& fronts() {
  static const StabilizerOptions robust{.robust_kappa = 3.0};
  static const std::vector<Front> list = {
      {"stabilize", [] { return stabilize(); }},
      {"stabilize_paper", [] { return stabilize(StabilizerOptions::paper()); }},
      {"stabilize_robust", [] { return stabilize(robust); }},
      {"stabilize_per_row", [] { return stabilize({}, Units::per_row()); }},
      {"stabilize_group",
       [] {
         return stabilize({}, Units::by_name({{"layers", {"layers.*"}}}));
       }},
      {"stabilize_model", [] { return stabilize({}, Units::whole_model()); }},
      {"clip", [] { return clip_by_global_norm(1.0); }},
      {"clip_max_abs", [] { return clip_by_global_norm(GlobalNormOptions::largest_entry(0.5)); }},
      {"record", [] { return record_norms(); }},
      {"clip_stabilize", [] { return chain(clip_by_global_norm(1.0), stabilize()); }},
      {"stabilize_row_clip",
       [] { return chain(stabilize({}, Units::per_row()), clip_by_global_norm(0.7), record_norms()); }},
      {"agc", [] { return adaptive_clip({.clip_factor = 0.3}); }},
      {"zclip", [] { return zclip({.warmup_steps = 5}); }},
      {"adagc", [] { return adagc({.warmup_steps = 5}); }},
      {"normalize_scale", [] { return chain(normalize(), scale_by(0.25)); }},
      {"value_clip", [] { return clip_by_value(0.5); }, true},
      {"stable_spam", [] { return chain(adaptive_value_clip({.theta = 0.9}), adaptive_norm()); }, true},
      {"spike_aware",
       [] {
         return chain(stabilize(), spike_aware_clip({.threshold = 2.0, .beta2 = 0.9, .quiet_steps = 3}));
       },
       true},
  };
  return list;
}

using Combination = std::tuple<Kind, Front>;

std::vector<Combination> combinations() {
  std::vector<Combination> result;
  for (const Kind& kind : all_kinds())
    for (const Front& front : fronts()) result.emplace_back(kind, front);
  return result;
}

class TransformInFrontTest : public ::testing::TestWithParam<Combination> {
 protected:
  static constexpr int kSteps = 40;
  const Kind& kind() const { return std::get<0>(GetParam()); }
  const Front& front() const { return std::get<1>(GetParam()); }

  /// Both ways; tolerances as in `difference`.
  void compare(DType dtype, double tolerance_per_step, bool expect_equal_reports) {
    std::mt19937_64 random(17);
    const ParameterSet parameters = small_model(9);
    Training fused(parameters, dtype, kind().options, front().make());
    Training apart(parameters, dtype, kind().options);
    GradientTransform transform = front().make();
    ASSERT_TRUE(transform.init(parameters).ok());
    for (int step = 1; step <= kSteps; ++step) {
      SCOPED_TRACE(step);
      const auto values = random_gradients(random, parameters);
      fused.gradients.set_all(values);
      apart.gradients.set_all(values);
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (random() % 6 != 0) continue;
        fused.gradients.set_absent(i);
        apart.gradients.set_absent(i);
      }
      std::vector<std::vector<std::byte>> raw;
      for (std::size_t i = 0; i < parameters.size(); ++i) raw.push_back(fused.gradients.bytes(i));
      const auto wanted = transform.update(apart.gradients.refs(), fused.weights.refs());
      ASSERT_TRUE(wanted.ok());
      const auto report = fused.optimizer.step(fused.weights.refs(), fused.gradients.refs());
      ASSERT_TRUE(report.ok()) << report.status().message();
      for (std::size_t i = 0; i < parameters.size(); ++i)
        ASSERT_TRUE(front().element_wise || fused.gradients.bytes(i) == raw[i])
            << "gradients are never written";
      ASSERT_TRUE(apart.optimizer.step(apart.weights.refs(), apart.gradients.refs()).ok());
      EXPECT_EQ(report->step, wanted->step);
      EXPECT_EQ(report->spikes, wanted->spikes);
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        const TensorReport& a = report->tensors[i];
        const TensorReport& b = wanted->tensors[i];
        EXPECT_EQ(a.present, b.present);
        if (expect_equal_reports) {
          EXPECT_EQ(a.raw_norm, b.raw_norm);
          EXPECT_EQ(a.factor, b.factor);
        } else {
          EXPECT_NEAR(a.raw_norm, b.raw_norm, 1e-14 * b.raw_norm);
          EXPECT_NEAR(a.factor, b.factor, 1e-14 * b.factor);
        }
      }
      ASSERT_EQ(difference(fused.weights.values(), apart.weights.values(), step * tolerance_per_step), "");
    }
  }
};

TEST_P(TransformInFrontTest, Float64EqualsTheTransformAndThenTheOptimizer) {
  // Adam-mini measures piece by piece, and adds the same squares in another order.
  compare(DType::float64, 1e-13 / kSteps, !std::holds_alternative<AdamMiniOptions>(kind().options));
}

/// The scaled gradient is rounded to float32 once less, its factor once more: 3 roundings of g per step. They
/// move the parameter by at most a few of its steps' roundings: 3 u in the numerator, 3 u under the root and
/// the roundings of what follows, with steps below 0.3. Parameters, of about 1, are rounded once a step: u,
/// for each of the two.
TEST_P(TransformInFrontTest, Float32DiffersByTheRoundingOfTheScaledGradientOnly) {
  compare(DType::float32, 2 * 0x1p-24 * (1 + 0.3 * 10),
          !std::holds_alternative<AdamMiniOptions>(kind().options));
}

INSTANTIATE_TEST_SUITE_P(All, TransformInFrontTest, ::testing::ValuesIn(combinations()),
                         [](const auto& test) {
                           return std::get<0>(test.param).name + "_behind_" + std::get<1>(test.param).name;
                         });

TEST(TransformInFrontTest, HeadsThatShareARowCannotBeMeasuredByRows) {
  AdamMiniOptions options;
  options.dim = 4;
  options.n_heads = 2;  // heads of 8 elements, two in a row of 16
  const auto refused = [&](GradientTransform transform) {
    Optimizer optimizer(options, std::move(transform));
    const Status status = optimizer.init(ParameterSet::create({{"layers.0.q_proj.weight", {2, 16}}}).value());
    EXPECT_EQ(status.code(), StatusCode::unsupported);
    return status.message();
  };
  EXPECT_EQ(refused(adaptive_clip({})),
            "'adaptive_clip' works per row, but 'layers.0.q_proj.weight' has 2 rows and is divided into 4 "
            "pieces by the optimizer");
  EXPECT_EQ(refused(stabilize({}, Units::per_row())),
            "'layers.0.q_proj.weight' has 2 rows but is divided into 4 pieces by the optimizer; granularity "
            "'row' cannot be combined with that");
}

TEST(TransformInFrontTest, AScaleThatIsLeftOutWouldBeSeen) {
  std::mt19937_64 random(17);
  const ParameterSet parameters = small_model(9);
  Training with(parameters, DType::float32, kind("adamw"), clip_by_global_norm(1.0));
  Training without(parameters, DType::float32, kind("adamw"));
  for (int step = 0; step < 40; ++step) {
    const auto values = random_gradients(random, parameters);
    with.step(values);
    without.step(values);
  }
  EXPECT_NE(difference(with.weights.values(), without.weights.values(), 40 * 2 * 0x1p-24 * 4), "");
}

}  // namespace
}  // namespace gradstab::testing
