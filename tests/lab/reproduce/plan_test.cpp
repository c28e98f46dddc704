// Every item at every scale: its runs are valid, its claims are about runs that it makes.
#include "lab/reproduce/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/items.hpp"
#include "lab/reproduce/judge.hpp"
#include "lab/reproduce/names.hpp"
#include "lab/reproduce/presets.hpp"
#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

class ItemTest : public ::testing::TestWithParam<std::tuple<std::size_t, Scale>> {
 protected:
  const Item& item() const { return all_items().at(std::get<0>(GetParam())); }
  Scale scale() const { return std::get<1>(GetParam()); }
  std::vector<PlannedRun> runs() const { return planned_runs(plan_of(item(), scale()), {}).value(); }
};

/// Finished runs with some loss, in the places of the plan.
Records filled(const Plan& plan, const std::vector<PlannedRun>& runs) {
  Records records;
  for (const PlannedRun& planned : runs) {
    const Part& part = plan.parts[planned.part];
    ItemRun& run = records.runs.emplace_back();
    run.name = planned.point.name;
    run.part = part.name;
    run.horizon = part.horizon;
    run.arm = part.arms[planned.arm].name;
    run.coordinates = part.contexts[planned.context].coordinates;
    run.seed = planned.seed;
    run.options = planned.point.options;
    run.state = "finished";
    run.score = 2.0;
    run.uninformed = 5.0;
    run.training_loss.assign(static_cast<std::size_t>(run.options.steps), 2.0);
    run.grad_norm.assign(static_cast<std::size_t>(run.options.steps), 1.0);
  }
  return records;
}

TEST_P(ItemTest, NamesItsRunsApart) {
  std::set<std::string> names;
  for (const PlannedRun& run : runs()) EXPECT_TRUE(names.insert(run.point.name).second) << run.point.name;
}

TEST_P(ItemTest, HasBothControlsAtEveryHorizon) {
  const Plan plan = plan_of(item(), scale());
  std::map<std::string, std::set<std::string>> arms_at;
  for (const Part& part : plan.parts)
    for (const Arm& arm : part.arms) arms_at[part.horizon].insert(arm.name);
  EXPECT_TRUE(plan.task != "llm" || arms_at.size() == horizons(scale()).size());
  for (const auto& [horizon, arms] : arms_at) {
    // How large gradients are is what weight decay is beside.
    for (const char* needed : {"none", "stabilize", "normalize", plan.task == "vision" ? "scale" : "beta2"})
      EXPECT_TRUE(arms.contains(needed)) << horizon << ": " << needed;
  }
}

TEST_P(ItemTest, EveryArmMeansWhatItsNameSays) {
  for (const PlannedRun& run : runs()) {
    const TrainOptions& options = run.point.options;
    const std::string arm = plan_of(item(), scale()).parts[run.part].arms[run.arm].name;
    const bool without = arm == "none" || arm == "beta2";
    const bool method = arm == "stabilize" || arm == "robust";
    EXPECT_EQ(options.transform == "none", without || arm.ends_with("spam") || arm == "none-skip_step");
    EXPECT_EQ(options.transform.starts_with("stabilize"), method || arm == "stabilize-skip_step");
    EXPECT_EQ(options.beta2 == 0.95, arm == "beta2") << run.point.name;
    EXPECT_EQ(options.transform.find("robust_kappa=3") != std::string::npos, arm == "robust")
        << run.point.name;
    EXPECT_EQ(options.seed, static_cast<std::uint64_t>(run.seed));
  }
}

TEST_P(ItemTest, ClaimsAreAboutRunsThatAreMade) {
  const Plan plan = plan_of(item(), scale());
  const Records records = filled(plan, runs());
  for (const ClaimResult& result : judge(item().claims(), records)) {
    // The others have fewer rates, or none that is called high.
    if (scale() != Scale::cpu) continue;
    ASSERT_FALSE(result.horizons.empty()) << result.claim.text;
    // Claims on weight decay name those of two scales.
    const bool of_two_scales = item().name == "table-3" || item().name == "table-9";
    EXPECT_EQ(result.horizons.front().effects.size() * (of_two_scales ? 2 : 1), result.claim.effects.size())
        << result.claim.text;
    for (const EffectResult& effect : result.horizons.front().effects) {
      EXPECT_EQ(effect.by_seed.size(), static_cast<std::size_t>(plan.seeds))
          << result.claim.text << ": " << effect.label;
    }
  }
}

TEST_P(ItemTest, TakesNoLongerThanItsScaleAllows) {
  const auto seconds = expected_seconds(runs(), 2);
  if (scale() == Scale::gpu || scale() == Scale::paper) {
    const std::string task = plan_of(item(), scale()).task;
    const bool as_on_a_cpu = task == "rl" || (task == "vision" && scale() == Scale::gpu);
    EXPECT_EQ(seconds.has_value(), as_on_a_cpu) << "others were never measured";
    const auto estimate = estimated_device_seconds(runs(), 4);
    EXPECT_EQ(estimate.has_value(), plan_of(item(), scale()).task == "llm")
        << "only that was seen on a device";
    if (estimate && scale() == Scale::gpu) {
      EXPECT_LT(*estimate, 3600.0);
      // Nor is it the hour of a plan that says little.
      EXPECT_GT(*estimate, 600.0);
    }
  } else {
    EXPECT_LT(seconds.value(), scale() == Scale::smoke ? 120.0 : 90 * 60.0);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ItemTest,
                         ::testing::Combine(::testing::Range<std::size_t>(0, 17),
                                            ::testing::Values(Scale::smoke, Scale::cpu, Scale::gpu,
                                                              Scale::paper)),
                         [](const auto& place) {
                           std::string name = all_items().at(std::get<0>(place.param)).name + "_" +
                                              std::string(to_string(std::get<1>(place.param)));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(ItemsTest, AreAllTested) {
  EXPECT_EQ(all_items().size(), 17u);
  EXPECT_EQ(find_item("table-1")->name, "table-1");
  EXPECT_EQ(find_item("table-11"), nullptr);
}

TEST(ItemsTest, PublishedNumbersStandWhereOursDo) {
  for (const char* name : {"table-1", "table-4"}) {
    const Item& item = *find_item(name);
    const Plan plan = plan_of(item, Scale::cpu);
    const Records records = filled(plan, planned_runs(plan, {}).value());
    const auto contexts = contexts_in_order(records, "short");
    EXPECT_EQ(contexts.size(), item.published->columns.size());
    for (const Settings& context : contexts) {
      for (const std::string& arm : arms_in_order(records))
        EXPECT_EQ(item.published->find(context, arm).size(), is_control(arm) ? 0u : 2u)
            << context_text(context) << arm;
    }
  }
}

TEST(ItemsTest, PublishedAccuraciesStandWhereTheirSettingsAre) {
  for (const char* name : {"table-2", "table-3", "table-9"}) {
    const Item& item = *find_item(name);
    const Plan plan = plan_of(item, Scale::paper);
    const Records records = filled(plan, planned_runs(plan, {}).value());
    const auto contexts = contexts_in_order(records, "published");
    EXPECT_EQ(contexts.size(), item.published->columns.size()) << name;
    for (const Settings& context : contexts)
      for (const char* arm : {"none", "clip_by_value", "clip", "adaptive_clip", "zclip", "stabilize"})
        EXPECT_EQ(item.published->find(context, arm).size(), 1u) << context_text(context) << arm;
  }
  EXPECT_EQ(find_item("table-3")->published->find({{"model", "vit"}, {"weight_decay", "0.0005"}}, "clip"),
            std::vector<double>{20.6});
}

TEST(PlanTest, TheUsersDataGoesOverTheItems) {
  const auto runs = planned_runs(plan_of(*find_item("table-1"), Scale::cpu), {{"data", "mine.txt"}}).value();
  for (const PlannedRun& run : runs) EXPECT_EQ(llm_settings(run.point.options).data, "mine.txt");
}

TEST(PlanTest, ASettingThatDoesNotFitNamesItsRun) {
  Plan plan = plan_of(*find_item("figure-1"), Scale::smoke);
  plan.parts.front().base.emplace_back("lr_ratio", "1");
  const auto runs = planned_runs(plan, {});
  ASSERT_FALSE(runs);
  EXPECT_EQ(runs.status().message(),
            "run 'short,lr=0.003,none,seed=0': 'lr_ratio' is not a setting; did you mean min_lr_ratio?");
}

TEST(PlanTest, WholeSeedsComeFirst) {
  const auto runs = planned_runs(plan_of(*find_item("figure-1"), Scale::cpu), {}).value();
  EXPECT_TRUE(
      std::ranges::is_sorted(runs, {}, [](const PlannedRun& run) { return std::pair(run.part, run.seed); }));
}

TEST(PlanTest, PaperIsThePublishedSetting) {
  const TrainOptions options =
      planned_runs(plan_of(*find_item("table-1"), Scale::paper), {}).value().front().point.options;
  EXPECT_EQ(llm_settings(options).model, "130m");
  EXPECT_EQ(options.steps, 20000);
  EXPECT_EQ(options.warmup, 2000);
  EXPECT_EQ(options.batch * options.accumulation, 512);
  EXPECT_EQ(llm_settings(options).context, 256);
  EXPECT_EQ(options.lr, 1e-3);
  EXPECT_EQ(llm_settings(options).vocab_size, 32000);
}

TEST(DeviceTimeTest, CountsOperationsLaunchesAndStarts) {
  PlannedRun run;
  run.point.options = llm_options();
  TrainOptions& options = run.point.options;
  llm_settings(options).model = "20m";
  llm_settings(options).vocab_size = 8192;
  llm_settings(options).context = 256;
  options.batch = 64;
  options.precision = "bf16";
  options.steps = 1000;
  options.eval_every = 2000;
  llm_settings(options).final_eval_batches = 0;
  // By hand: 3,162,112 weights in projections, 2,097,152 in the head, 4 * 256 * 256 * 2 in attention; 16,384
  // tokens.
  const double forward = 2.0 * (3162112 + 2097152 + 524288);
  const double expected = 8.0 / 4 + 1000 * ((3 * forward + 2.0 * 2097152) * 16384 / 90e12 + 0.0055);
  EXPECT_NEAR(estimated_device_seconds({run}, 4).value(), expected, 1e-9 * expected);
  EXPECT_NEAR(estimated_device_seconds({run, run}, 4).value(), 2 * expected, 1e-9 * expected);
  // What was seen on a device, starts left out: 12.2 ms an update in bf16, four runs together; 20.4 in fp16
  // and 46.2 in fp4, one run alone.
  const auto seconds_per_update = [&](const std::string& precision) {
    options.precision = precision;
    return (estimated_device_seconds({run}, 4).value() - 8.0 / 4) / 1000;
  };
  EXPECT_NEAR(seconds_per_update("bf16"), 0.0122, 0.0005);
  EXPECT_NEAR(seconds_per_update("fp16"), 0.0204, 0.0005);
  EXPECT_NEAR(seconds_per_update("fp4"), 0.0462, 0.0005);
}

TEST(ArmsTest, AnUnknownOneIsADefect) {
  EXPECT_THROW(arm_named("magic"), std::out_of_range);
}

}  // namespace
}  // namespace gradstab::lab
