// The summary's numbers, what is absent without kappa, and its JSON.
#include "lab/bounds/bounds_summary.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gradstab/bounds.hpp"
#include "gradstab/decide.hpp"

namespace gradstab::lab {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// Half a unit of the sixth decimal.
constexpr double kSixDecimals = 0.5e-6;

BoundsRequest with_kappa(double kappa) {
  BoundsRequest request;
  request.kappa = kappa;
  return request;
}

const StepRow& at_step(const std::vector<StepRow>& rows, std::int64_t step) {
  for (const StepRow& row : rows) {
    if (row.step == step) return row;
  }
  throw std::out_of_range("no row for step " + std::to_string(step));
}

TEST(BoundsSummaryTest, HoldsTheDocumentedNumbersOfTheDefaults) {
  const BoundsSummary summary = summarize_bounds({});
  EXPECT_NEAR(summary.uniform_bound, 15.815842, kSixDecimals);
  EXPECT_NEAR(summary.kappa_of_no_effect, 64.333441, kSixDecimals);
  EXPECT_NEAR(at_step(summary.step_bounds, 2).published.paper, 14.753225, kSixDecimals);
  EXPECT_NEAR(at_step(summary.step_bounds, 1000).published.released, 12.576375, kSixDecimals);
  EXPECT_NEAR(summary.spike_bounds.front().paper, 12.649111 + 18.973666 / 2, 2 * kSixDecimals);
  EXPECT_EQ(summary.recoveries[1].ratio, 100.0);
  EXPECT_EQ(summary.recoveries[1].published.steps_until_half, 1219);
}

TEST(BoundsSummaryTest, RobustColumnsAreThereOnlyWithKappa) {
  const BoundsSummary published = summarize_bounds({});
  EXPECT_FALSE(published.robust_uniform_bound);
  EXPECT_FALSE(published.step_bounds.front().robust);
  EXPECT_FALSE(published.spikes_at_step.front().robust);
  EXPECT_FALSE(published.recoveries.front().robust);

  const BoundsSummary both = summarize_bounds(with_kappa(2.0));
  EXPECT_EQ(both.uniform_bound, published.uniform_bound);
  EXPECT_LT(*both.robust_uniform_bound, 0.999 * both.uniform_bound);
  EXPECT_LT(at_step(both.step_bounds, 100).robust->paper, at_step(both.step_bounds, 100).published.paper);
  EXPECT_EQ(both.recoveries[2].published.steps_until_half, 5807);
  EXPECT_EQ(both.recoveries[2].robust->steps_until_half, 0);
}

TEST(BoundsSummaryTest, TheRobustUniformBoundIsThatOfTheReleasedForm) {
  const BoundsSummary summary = summarize_bounds(with_kappa(3.0));
  EXPECT_EQ(*summary.robust_uniform_bound, uniform_bound(StabilizerOptions::robust(3.0)));
  EXPECT_LE(*summary.robust_uniform_bound, 0.6 + 0.4 * 3.0);
  const BoundsSummary loose = summarize_bounds(with_kappa(1.01 * summary.kappa_of_no_effect));
  EXPECT_NEAR(*loose.robust_uniform_bound / loose.uniform_bound, 1.0, 1e-9);
}

TEST(BoundsSummaryTest, SpikeAtAStepIsWhatHugeSpikesTendTo) {
  const BoundsRequest request = with_kappa(3.0);
  const BoundsSummary summary = summarize_bounds(request);
  const auto rho_at = [](const StabilizerOptions& options, std::int64_t step, double ratio) {
    return simulate_spike(options, constant_history(options, step - 1), ratio).on_spike;
  };
  for (const std::int64_t step : {1, 2, 20, 1000}) {
    const StepRow& row = at_step(summary.spikes_at_step, step);
    // A spike of 1e15 is gamma1 / (1-gamma1) / 1e15 from the limit; the rest is rounding in a second moment
    // that remembers 1000 steps.
    constexpr double kRelative = 1e-12;
    constexpr double kHuge = 1e15;
    EXPECT_NEAR(rho_at(request.published(false), step, kHuge), row.published.paper,
                kRelative * row.published.paper);
    EXPECT_NEAR(rho_at(request.published(true), step, kHuge), row.published.released,
                kRelative * row.published.released);
    EXPECT_NEAR(rho_at(request.robust(false), step, kHuge), row.robust->paper, kRelative * row.robust->paper);
    EXPECT_NEAR(rho_at(request.robust(true), step, kHuge), row.robust->released,
                kRelative * row.robust->released);
  }
  // A mild spike is not a huge one.
  const double limit = at_step(summary.spikes_at_step, 1000).published.released;
  EXPECT_GT(std::fabs(rho_at(request.published(true), 1000, 10.0) - limit), 1.0);
}

TEST(BoundsSummaryTest, JsonKeysStayAndAreTheSameWithAndWithoutKappa) {
  const auto keys_of = [](const nlohmann::ordered_json& object) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : object.items()) keys.push_back(key);
    return keys;
  };
  for (const double kappa : {0.0, 3.0}) {
    const nlohmann::ordered_json json = to_json(summarize_bounds(with_kappa(kappa)));
    EXPECT_THAT(keys_of(json), ElementsAre("gamma1", "gamma2", "kappa", "history", "uniform_bound",
                                           "uniform_bound_robust", "kappa_of_no_effect", "step_bound",
                                           "spike_at_step", "spike_bound", "recovery", "recovery_horizon"));
    EXPECT_THAT(keys_of(json["step_bound"][0]),
                ElementsAre("step", "paper", "released", "paper_robust", "released_robust"));
    EXPECT_EQ(keys_of(json["spike_at_step"][0]), keys_of(json["step_bound"][0]));
    EXPECT_THAT(keys_of(json["spike_bound"][0]), ElementsAre("ratio", "paper"));
    EXPECT_THAT(keys_of(json["recovery"][0]), ElementsAre("ratio", "published", "robust"));
    EXPECT_THAT(
        keys_of(json["recovery"][0]["published"]),
        ElementsAre("rho_on_spike", "smallest_rho_after", "steps_until_half", "steps_until_nine_tenths"));
    EXPECT_EQ(json["uniform_bound_robust"].is_null(), kappa == 0.0);
    EXPECT_EQ(json["step_bound"][3]["released_robust"].is_null(), kappa == 0.0);
    EXPECT_EQ(json["recovery"][3]["robust"].is_null(), kappa == 0.0);
  }
}

TEST(BoundsSummaryTest, WhereThereIsNoBoundJsonSaysNull) {
  BoundsRequest request = with_kappa(1.5);
  request.gamma1 = 0.9;
  request.gamma2 = 0.5;
  const nlohmann::ordered_json json = to_json(summarize_bounds(request));
  EXPECT_TRUE(json["uniform_bound"].is_null());
  EXPECT_TRUE(json["uniform_bound_robust"].is_null());
  EXPECT_TRUE(json["step_bound"][0]["paper"].is_number());

  request = {};
  request.gamma2 = 0.9999999;
  EXPECT_TRUE(to_json(summarize_bounds(request))["recovery"][3]["published"]["steps_until_half"].is_null());
}

TEST(BoundsSummaryTest, EdgesOfTheSettingsGiveNumbers) {
  for (const double gamma1 : {0.0, 0.9999}) {
    for (const double gamma2 : {0.0, 0.5}) {
      for (const double kappa : {0.0, 1.0000001, 1e300}) {
        for (const std::int64_t history : {0, 1}) {
          const BoundsRequest request{gamma1, gamma2, kappa, history};
          ASSERT_TRUE(request.validate().ok());
          const BoundsSummary summary = summarize_bounds(request);
          EXPECT_FALSE(std::isnan(summary.uniform_bound));
          for (const StepRow& row : summary.step_bounds) EXPECT_FALSE(std::isnan(row.published.released));
          for (const StepRow& row : summary.spikes_at_step)
            EXPECT_TRUE(std::isfinite(row.published.released));
          for (const RecoveryRow& row : summary.recoveries) EXPECT_GT(row.published.smallest_after, 0.0);
        }
      }
    }
  }
}

TEST(BoundsRequestTest, ErrorsNameTheValueAndTheRange) {
  const auto message = [](const BoundsRequest& request) {
    const Status status = request.validate();
    EXPECT_EQ(status.code(), StatusCode::invalid_argument);
    return status.message();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(BoundsRequest{}.validate().ok());
  EXPECT_THAT(message({.gamma1 = 1.0}), HasSubstr("gamma1 must be in [0, 1), got 1"));
  EXPECT_THAT(message({.gamma2 = nan}), HasSubstr("gamma2 must be in [0, 1), got nan"));
  EXPECT_THAT(message({.kappa = 0.5}), AllOf(HasSubstr("kappa"), HasSubstr("above 1, got 0.5")));
  EXPECT_THAT(message({.kappa = nan}), AllOf(HasSubstr("kappa"), HasSubstr("above 1, got nan")));
  EXPECT_THAT(message({.history = -1}), HasSubstr("history must be in [0, 10000000], got -1"));
  EXPECT_THAT(message({.history = 10'000'001}), HasSubstr("got 10000001"));
}

}  // namespace
}  // namespace gradstab::lab
