// What is said of a trace, on traces whose answer is known.
#include "lab/inspect/analysis.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <random>

#include "gradstab/bounds.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/inspect/running_median.hpp"
#include "lab/inspect/verdict.hpp"
#include "lab/replay/replay.hpp"

namespace gradstab::lab::inspect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// A made-up log: norms and losses by step, one step in `every`.
struct MadeUp {
  std::int64_t steps = 400;
  std::int64_t every = 1;
  std::function<double(std::int64_t)> norm;
  std::function<std::optional<double>(std::int64_t)> loss = [](std::int64_t step) {
    return std::optional<double>(3.0 + 0.01 * std::sin(static_cast<double>(step)));
  };
};

/// About 1, without an order: within 30 %.
double ordinary(std::int64_t step) {
  return 1.0 + 0.3 * std::sin(static_cast<double>(step * step % 1009));
}

Trace trace_of(const MadeUp& made_up) {
  return {"made up", [made_up](TraceFacts& facts, TraceSink& sink) {
            facts.format = "made up";
            facts.step_name = "step";
            facts.norm_name = "norm";
            facts.loss_name = "loss";
            for (std::int64_t step = made_up.every; step <= made_up.steps; step += made_up.every)
              if (!sink.record({step, made_up.norm(step), made_up.loss(step), {}, {}})) break;
            return Status();
          }};
}

Findings found(const MadeUp& made_up, const InspectSettings& settings = {}) {
  return analyse(trace_of(made_up), settings).value();
}

std::string all_sentences(const Verdict& verdict) {
  std::string text = verdict.headline;
  for (const std::string& reason : verdict.reasons) text += "\n" + reason;
  for (const Section& section : verdict.sections) {
    text += "\n" + section.title;
    for (const std::string& sentence : section.sentences) text += "\n" + sentence;
  }
  return text;
}

TEST(RunningMedianTest, IsTheMedianOfTheLast) {
  std::mt19937 random(1);
  RunningMedian running(7);
  std::vector<double> all;
  for (int i = 0; i < 200; ++i) {
    all.push_back(static_cast<double>(random() % 10));
    running.add(all.back());
    const std::size_t first = all.size() > 7 ? all.size() - 7 : 0;
    EXPECT_EQ(running.median(), median_of({all.begin() + static_cast<std::ptrdiff_t>(first), all.end()}));
  }
}

TEST(EventsTest, NearSpikesAreOneEvent) {
  const Findings findings = found({.norm = [](std::int64_t step) {
    if (step == 100 || step == 105 || step == 111) return 8.0;
    if (step == 110) return 20.0;
    return step == 300 ? 5.0 : ordinary(step);
  }});
  ASSERT_EQ(findings.events.size(), 2u);
  const Event& event = findings.events[0];
  EXPECT_EQ(event.step, 100);
  EXPECT_EQ(event.last_step, 111);
  EXPECT_EQ(event.peak_step, 110);
  EXPECT_EQ(event.peak, 20.0);
  EXPECT_EQ(event.spikes, 4);
  EXPECT_NEAR(event.size, 20.0, 0.31 * 20.0);
  EXPECT_EQ(event.fate, LossFate::unmoved);
  EXPECT_EQ(findings.events[1].step, 300);
  EXPECT_EQ(findings.spacing, 300 - 111);
}

TEST(EventsTest, NothingIsCalledASpikeBeforeThereAreEnoughNorms) {
  const Findings findings =
      found({.norm = [](std::int64_t step) { return step == 15 ? 50.0 : ordinary(step); }});
  EXPECT_THAT(findings.events, IsEmpty());
  const Findings later =
      found({.norm = [](std::int64_t step) { return step == 21 ? 50.0 : ordinary(step); }});
  EXPECT_EQ(later.events.size(), 1u);
}

TEST(EventsTest, TheLossIsFollowed) {
  struct Case {
    LossFate fate;
    std::function<std::optional<double>(std::int64_t)> loss;
  };
  const auto usual = MadeUp().loss;
  const std::vector<Case> cases = {
      {LossFate::unmoved, usual},
      {LossFate::unmoved,
       [&](std::int64_t step) { return std::optional(*usual(step) + (step == 200 ? 0.1 : 0.0)); }},
      {LossFate::recovered,
       [&](std::int64_t step) { return std::optional(*usual(step) + (step == 201 ? 0.5 : 0.0)); }},
      {LossFate::stayed,
       [&](std::int64_t step) { return std::optional(*usual(step) + (step >= 200 ? 0.5 : 0.0)); }},
      {LossFate::stayed, [&](std::int64_t step) { return std::optional(step >= 201 ? kNaN : *usual(step)); }},
      {LossFate::unknown, [](std::int64_t) { return std::optional<double>(); }},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Findings findings =
        found({.norm = [](std::int64_t step) { return step == 200 ? 20.0 : ordinary(step); },
               .loss = cases[i].loss});
    ASSERT_EQ(findings.events.size(), 1u) << i;
    EXPECT_EQ(to_string(findings.events[0].fate), to_string(cases[i].fate)) << i;
  }
  const Findings cut = found({.steps = 205,
                              .norm = [](std::int64_t step) { return step == 200 ? 20.0 : ordinary(step); },
                              .loss = cases[3].loss});
  EXPECT_EQ(to_string(cut.events.at(0).fate), to_string(LossFate::open));
}

TEST(EventsTest, SpikesThatWereInjectedAreFound) {
  // `gradstab train llm --tokenizer bytes --context 64 --batch 4 --steps 600 --warmup 50 --lr 0.003
  // --transform none` with `--inject-spikes 150:30,300:1000,430:100,432:50,520:5`, in the order of the file.
  const std::vector<std::int64_t> injected = {150, 300, 430, 432, 520};
  const auto traces = open_traces(std::filesystem::path(GRADSTAB_INSPECT_DATA) / "spiked.csv", {}).value();
  const Findings findings = analyse(traces.at(0), {}).value();
  const auto covers = [](const Event& event, std::int64_t step) {
    return event.step <= step && step <= event.last_step;
  };
  for (const std::int64_t step : injected) {
    EXPECT_TRUE(std::ranges::any_of(findings.events, [&](const Event& event) { return covers(event, step); }))
        << "the spike at " << step << " is missed";
  }
  // One event is of the run's own: a norm of 4.5 medians at step 106.
  const auto own = std::ranges::count_if(findings.events, [&](const Event& event) {
    return std::ranges::none_of(injected, [&](std::int64_t step) { return covers(event, step); });
  });
  EXPECT_EQ(findings.event_count, 5);
  EXPECT_EQ(own, 1);
  // Peaks stand where the spikes were put in.
  std::vector<std::int64_t> peaks;
  for (const Event& event : findings.events) peaks.push_back(event.peak_step);
  EXPECT_THAT(peaks, ElementsAre(106, 150, 300, 430, 520));
}

/// Factors of one rule over all norms, by `gradstab replay`.
std::vector<double> replayed(const Rule& rule, const std::vector<double>& norms) {
  Json steps = Json::array();
  for (std::size_t i = 0; i < norms.size(); ++i)
    steps.push_back({{"t", i + 1}, {"grad", Json::array({Json::array({norms[i]})})}});
  // By its name alone stabilize is that of the authors' code, with their epsilon.
  Json hyper = Json::object();
  if (rule.text == "stabilize") hyper["eps"] = 0.0;
  const Json recording = {{"format", 1},
                          {"method", rule.text},
                          {"cases",
                           {{{"name", "c"},
                             {"hyper", hyper},
                             {"tensors", {{{"name", "w"}, {"shape", {1}}}}},
                             {"steps", steps}}}}};
  const auto text = replay(recording, ReplayOptions());
  EXPECT_TRUE(text.ok()) << rule.text << ": " << text.status().message();
  std::vector<double> factors;
  const Json result = parse_json(text.value(), "replayed").value();
  for (std::size_t i = 0; i < norms.size(); ++i)
    factors.push_back(result["cases"][0]["steps"][i]["out64"][0][0].get<double>() / norms[i]);
  return factors;
}

TEST(FactorsTest, AreThoseOfReplay) {
  // Quarters, which a float32 holds, as recordings need it.
  const auto norm = [](std::int64_t step) {
    if (step == 60) return 512.0;
    if (step > 150) return 8.0 + static_cast<double>(step * 7 % 5) / 4.0;
    return 1.0 + static_cast<double>(step * step % 7) / 4.0;
  };
  std::vector<double> norms;
  std::vector<std::vector<double>> factors(kRules);
  const auto each = [&](const TraceRecord& record, double, std::span<const double> of_step) {
    norms.push_back(record.norm);
    for (std::size_t i = 0; i < kRules; ++i) factors[i].push_back(of_step[i]);
    return Status();
  };
  const auto findings = analyse(trace_of({.steps = 300, .norm = norm}), {}, each);
  ASSERT_TRUE(findings.ok());
  ASSERT_EQ(norms.size(), 300u);
  for (std::size_t rule = 0; rule < kRules; ++rule) {
    SCOPED_TRACE(findings->rules[rule].text);
    const auto wanted = replayed(findings->rules[rule], norms);
    int changed = 0;
    for (std::size_t i = 0; i < norms.size(); ++i) {
      EXPECT_NEAR(factors[rule][i], wanted[i], 1e-12 * std::abs(wanted[i])) << "step " << i + 1;
      changed += std::abs(wanted[i] - 1.0) > 1e-6 ? 1 : 0;
    }
    EXPECT_GT(changed, 0) << "a rule that does nothing shows nothing";
  }
  EXPECT_EQ(findings->adoption_count, 1) << "the norms rise eightfold for good at step 151";
  EXPECT_EQ(findings->adoptions.at(0).step, 158);
}

TEST(FactorsTest, BetweenLinesTheNormIsHeldAtTheMedian) {
  // The same constant norms, every step and one in ten logged: the rules are where they would have been.
  const auto constant = [](std::int64_t) { return 2.0; };
  std::vector<double> last;
  for (const std::int64_t every : {1, 10}) {
    double factor = 0.0;
    const auto each = [&](const TraceRecord&, double, std::span<const double> factors) {
      factor = factors[kPublished];
      return Status();
    };
    const auto spiked = [&](std::int64_t step) { return step == 200 ? 200.0 : constant(step); };
    const auto findings = analyse(trace_of({.steps = 400, .every = every, .norm = spiked}), {}, each);
    ASSERT_TRUE(findings.ok());
    last.push_back(factor);
    EXPECT_EQ(findings->steps, every == 1 ? 400 : 391);  // the first line has nothing in front
  }
  // Of 400 steps nine are missing at the front, where the norms were the same.
  EXPECT_NEAR(last[0], last[1], 0.02 * last[0]);
  EXPECT_LT(last[0], 0.4) << "held down by the spike";
}

TEST(HoldingTest, IsWhatTheBoundsSay) {
  const double size = 100.0;
  const std::int64_t at = 5000;
  const Findings findings =
      found({.steps = 10'000, .norm = [&](std::int64_t step) { return step == at ? size : 1.0; }});
  const StabilizerOptions published = InspectSettings().published();
  const auto wanted = recovery_steps(published, size, kHeldBelow, at - 1);
  const HeldSteps& held = findings.published.after_spikes;
  EXPECT_EQ(held.spans, 1);
  // It begins where the first moment has forgotten the spike, some steps later.
  EXPECT_EQ(held.longest_begin + held.longest, at + wanted);
  EXPECT_LT(held.longest_begin, at + 30);
  EXPECT_EQ(findings.published.falling.steps, 0);
  EXPECT_EQ(findings.robust.after_spikes.steps, 0);
  EXPECT_NEAR(findings.published.highest, spike_stabilized_norm(published, size, at - 1), 1e-12);
  EXPECT_LE(findings.published.highest, findings.published_bound);
}

TEST(HoldingTest, FallingNormsAreToldFromSpikes) {
  const Findings findings = found({.steps = 3000, .norm = [](std::int64_t step) {
                                     return 100.0 * std::exp(-static_cast<double>(step) / 200.0);
                                   }});
  EXPECT_GT(findings.published.falling.steps, 1000);
  EXPECT_EQ(findings.published.after_spikes.steps, 0);
  EXPECT_GT(findings.halving.records, 1000);
  const Findings level = found({.steps = 3000, .norm = ordinary});
  EXPECT_EQ(level.published.falling.steps, 0);
  EXPECT_EQ(level.halving.records, 0);
}

TEST(TensorsTest, ThoseThatMovedFirstStandInFront) {
  // Three tensors; b rises at step 197, a follows at 200, c stays as it is. The global norm spikes at 200.
  const Trace trace{
      "tensors", [](TraceFacts& facts, TraceSink& sink) {
        facts.format = "made up";
        facts.step_name = "step";
        facts.tensors = {"a", "b", "c"};
        for (std::int64_t step = 1; step <= 400; ++step) {
          const bool late = step >= 200 && step < 203, early = step >= 197 && step < 203;
          const std::vector<TensorNorm> norms = {{0, late ? 90.0 : 3.0}, {1, early ? 1.0 : 0.1}, {2, 1.0}};
          const double norm = std::sqrt(norms[0].norm * norms[0].norm + norms[1].norm * norms[1].norm + 1.0);
          if (!sink.record({step, norm, std::nullopt, norms, {}})) break;
        }
        return Status();
      }};
  const Findings findings = analyse(trace, {}).value();
  ASSERT_EQ(findings.events.size(), 1u);
  const auto& moved = findings.events[0].tensors;
  ASSERT_EQ(moved.size(), 2u);
  EXPECT_EQ(moved[0].name, "b");
  EXPECT_EQ(moved[0].step, 197);
  EXPECT_EQ(moved[1].name, "a");
  EXPECT_EQ(moved[1].step, 200);
  EXPECT_NEAR(moved[1].ratio, 30.0, 1e-9);
  // Each tensor by its own: the published rule holds a down after its spike, and never c.
  EXPECT_EQ(findings.tensors.norms, 1200);
  EXPECT_EQ(findings.tensors.most_held, "a");
  EXPECT_GT(findings.tensors.held_published, 190);
  EXPECT_LT(findings.tensors.held_robust, findings.tensors.held_published / 4);
  EXPECT_THAT(all_sentences(judge(findings)), HasSubstr("Event at step 200: b"));
}

TEST(VerdictTest, SaysWhatTheDataSay) {
  const auto quiet = [](std::int64_t step) { return ordinary(step); };
  const auto spiked = [](double size) {
    return [size](std::int64_t step) { return step == 200 ? size : ordinary(step); };
  };
  const auto lasting = [](std::int64_t step) {
    return std::optional(step >= 200 ? 4.0 : 3.0 + 0.01 * std::sin(static_cast<double>(step)));
  };
  const auto passing = [](std::int64_t step) {
    return std::optional(step == 201 ? 4.0 : 3.0 + 0.01 * std::sin(static_cast<double>(step)));
  };
  const auto none = [](std::int64_t) { return std::optional<double>(); };
  const MadeUp usual{.norm = quiet};
  struct Case {
    Advice advice;
    std::string transform;
    MadeUp made_up;
  };
  for (const Case& each :
       {Case{Advice::leave, "", {.norm = quiet}}, Case{Advice::leave_loss, "", {.norm = spiked(20)}},
        Case{Advice::guard, "clip_by_global_norm(max_norm=", {.norm = spiked(20), .loss = passing}},
        Case{Advice::guard, "clip_by_global_norm(max_norm=", {.norm = spiked(20), .loss = none}},
        Case{Advice::try_it, "stabilize", {.norm = spiked(20), .loss = lasting}},
        Case{Advice::try_it, "stabilize(robust_kappa=3)", {.norm = spiked(200), .loss = lasting}},
        Case{Advice::try_it, "stabilize", {.norm = [&](std::int64_t step) {
               return step > 390 ? kNaN : ordinary(step);
             }}}}) {
    const Findings findings = found(each.made_up);
    const Verdict verdict = judge(findings);
    SCOPED_TRACE(all_sentences(verdict));
    EXPECT_EQ(to_string(verdict.advice), to_string(each.advice));
    EXPECT_THAT(verdict.transform, each.transform.ends_with('=')
                                       ? ::testing::Matcher<std::string>(HasSubstr(each.transform))
                                       : ::testing::Matcher<std::string>(each.transform));
    EXPECT_THAT(all_sentences(verdict), Not(HasSubstr("would have helped")));
    EXPECT_THAT(all_sentences(verdict),
                HasSubstr("79 public traces, 350,000 points, and 1,543 sampled runs; own analysis"));
    EXPECT_THAT(all_sentences(verdict), HasSubstr("The norm is that of the whole model."));
    EXPECT_THAT(all_sentences(verdict), HasSubstr("Every step is logged."));
  }
}

TEST(VerdictTest, RobustMomentsFromTheSizeOn) {
  // Where the lemma says that the published rule falls below half.
  const InspectSettings settings;
  EXPECT_NEAR(settings.holding_size(), 54.8, 0.05);
  EXPECT_NEAR(suppressed_stabilized_norm(settings.published(), settings.holding_size()), 0.5, 1e-12);
}

TEST(VerdictTest, SaysWhatALogCannotTell) {
  const auto reason = [](const MadeUp& made_up) {
    const Verdict verdict = judge(found(made_up));
    EXPECT_EQ(verdict.advice, Advice::cannot_tell);
    return verdict.reasons.empty() ? std::string() : verdict.reasons.front();
  };
  EXPECT_THAT(reason({.norm = [](std::int64_t) { return 0.0; }}), HasSubstr("read after zero_grad()?"));
  EXPECT_THAT(reason({.norm = [](std::int64_t) { return kNaN; }}), HasSubstr("No norm is a finite number"));
  EXPECT_THAT(reason({.norm = [](std::int64_t) { return 2.5; }}), HasSubstr("All norms are equal, 2.5"));
  EXPECT_THAT(reason({.steps = 1, .norm = ordinary}), HasSubstr("one usable norm"));
  EXPECT_THAT(reason({.norm = [](std::int64_t step) { return step % 2 == 0 ? -1.0 : 1.0; }}),
              HasSubstr("is no norm"));
  EXPECT_THAT(reason({.norm = [](std::int64_t step) { return std::min(ordinary(step), 1.0); }}),
              HasSubstr("logged after clipping at 1:"));
  const Verdict unclipped = judge(found({.norm = ordinary}));
  EXPECT_EQ(unclipped.advice, Advice::leave) << "a largest norm that is met once is no plateau";
}

TEST(VerdictTest, LinesAreNotSteps) {
  const Findings findings = found({.steps = 4000, .every = 10, .norm = ordinary});
  const std::string text = all_sentences(judge(findings));
  EXPECT_THAT(text, HasSubstr("One step in 10 is logged"));
  EXPECT_THAT(text, HasSubstr("the norm is held at the running median in between"));
  const auto json = to_json(findings, judge(findings));
  EXPECT_THAT(json["rules"][kZClip]["reservation"].get<std::string>(), HasSubstr("A hint only"));
  EXPECT_TRUE(json["rules"][kClipAtOne]["reservation"].is_null());
}

TEST(AnalysisTest, ALongLogIsReadTwiceAndSaysTheSame) {
  // More records than are kept from the first reading.
  constexpr std::int64_t kSteps = 600'000;
  const auto norm = [](std::int64_t step) { return step % 100'000 == 500 ? 30.0 : ordinary(step); };
  const Findings findings = found({.steps = kSteps, .norm = norm});
  EXPECT_EQ(findings.overview.records, kSteps);
  EXPECT_EQ(findings.event_count, 6);
  EXPECT_LE(findings.points.size(), 3 * Thinned::kMostBuckets + 2);
  EXPECT_EQ(findings.points.front().step, 1);
  EXPECT_EQ(findings.points.back().step, kSteps);
  int spikes = 0;
  for (const Point& point : findings.points) spikes += point.norm == 30.0 ? 1 : 0;
  EXPECT_EQ(spikes, 6) << "no extreme is lost by thinning";
}

}  // namespace
}  // namespace gradstab::lab::inspect
