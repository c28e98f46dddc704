// What decides whether a method helps: comparisons, groups and the page, from runs made by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <regex>
#include <vector>

#include "lab/reproduce/decides_page.hpp"
#include "lab/reproduce/factors.hpp"
#include "lab/reproduce/measures.hpp"
#include "lab/reproduce/overview.hpp"
#include "lab/reproduce/rank_correlation.hpp"
#include "lab/support/files.hpp"
#include "test_records.hpp"

namespace gradstab::lab {
namespace {

constexpr FileKind kPage{"a kept page", 16 * kMiB};

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::size_t kUpdates = 100;

/// Norms of 1, but for the `spikes` last updates, which have a norm of `largest`.
std::vector<double> norms(std::size_t spikes, double largest) {
  std::vector<double> values(kUpdates, 1.0);
  for (std::size_t i = 0; i < spikes; ++i) values[kUpdates - 1 - i] = largest;
  return values;
}

struct Losses {
  std::vector<double> none, method, unit_norm;  // one per seed
};

/// A configuration with a learning rate of its own: `spikes` spikes without a method, each of `largest`.
void add(std::vector<ItemRun>& runs, double lr, const Losses& losses, std::size_t spikes, double largest,
         const std::string& horizon = "short") {
  const Settings context = {{"lr", std::to_string(lr)}};
  const auto add_arm = [&](const std::string& arm, const std::vector<double>& scores) {
    for (std::size_t seed = 0; seed < scores.size(); ++seed) {
      ItemRun run = finished_run(arm, static_cast<int>(seed), scores[seed], context, horizon);
      run.options.lr = lr;
      run.options.optimizer = "adamw";
      run.options.steps = horizon == "short" ? 100 : 200;
      run.options.transform = arm;
      run.grad_norm = norms(spikes, largest);
      run.training_loss.assign(kUpdates, scores[seed]);
      run.weights_checksum = run.name;
      runs.push_back(std::move(run));
    }
  };
  add_arm("none", losses.none);
  add_arm("stabilize", losses.method);
  add_arm("normalize", losses.unit_norm);
}

/// At the best rate without spikes, at three times that rate with two, at ten times with five. The gains of
/// the method are 0.1, 0.2 and 0.6, those of the control 0.15, 0.1 and 0.6.
Records ladder() {
  std::vector<ItemRun> runs;
  add(runs, 0.001, {{2.0, 2.2}, {1.9, 2.1}, {1.8, 2.1}}, 0, 1.0);
  add(runs, 0.003, {{2.5, 2.7}, {2.2, 2.6}, {2.4, 2.6}}, 2, 4.0);
  add(runs, 0.01, {{3.0, 3.2}, {2.4, 2.6}, {2.4, 2.6}}, 5, 20.0);
  return records_of(std::move(runs));
}

const Factor& factor_named(const std::vector<Factor>& factors, const std::string& axis) {
  const auto found = std::ranges::find(factors, axis, &Factor::axis);
  if (found == factors.end()) throw std::out_of_range(axis);
  return *found;
}

TEST(ComparisonTest, SpikinessIsThatOfTheRunsWithoutAMethod) {
  Records records = ladder();
  // What happens behind a method does not count.
  for (ItemRun& run : records.runs)
    if (run.arm != "none") run.grad_norm = norms(40, 1e6);
  const auto comparisons = compare_with_no_method({records});
  ASSERT_EQ(comparisons.size(), 3u);
  EXPECT_DOUBLE_EQ(comparisons[0].norm_spikes, 0.0);
  EXPECT_DOUBLE_EQ(comparisons[1].norm_spikes, 20.0);
  EXPECT_DOUBLE_EQ(comparisons[2].norm_spikes, 50.0);
  EXPECT_DOUBLE_EQ(comparisons[0].largest_norm, 1.0);
  EXPECT_DOUBLE_EQ(comparisons[2].largest_norm, 20.0);
  EXPECT_NEAR(comparisons[1].cost, 2.6, 1e-12);
  EXPECT_NEAR(comparisons[1].learned, std::log(256.0) - 2.6, 1e-12);
}

TEST(ComparisonTest, ANormThatIsNotFiniteIsInfinitelyLarge) {
  ItemRun run = finished_run("none", 0, 2.0);
  EXPECT_TRUE(std::isnan(norm_spikes_per_1000(run)));
  EXPECT_TRUE(std::isnan(largest_norm_ratio(run)));
  run.grad_norm = norms(1, kNoValue);
  EXPECT_DOUBLE_EQ(norm_spikes_per_1000(run), 10.0);
  EXPECT_TRUE(std::isinf(largest_norm_ratio(run)));
}

TEST(ComparisonTest, GainsArePairedBySeed) {
  Records records = ladder();
  // One seed of the method is missing, and one run without a method: neither is compared with another seed.
  std::erase_if(records.runs, [](const ItemRun& run) {
    return run.options.lr == 0.001 &&
           ((run.arm == "stabilize" && run.seed == 0) || (run.arm == "none" && run.seed == 1));
  });
  const auto comparisons = compare_with_no_method({records});
  ASSERT_EQ(comparisons.size(), 2u) << "a configuration without a pair is none";
  EXPECT_NEAR(comparisons[0].find("stabilize")->mean(), 0.2, 1e-12);
  EXPECT_NEAR(comparisons[0].find("stabilize")->by_seed.at(0), 0.3, 1e-12);
  EXPECT_EQ(comparisons[0].find("clip"), nullptr);
}

TEST(ComparisonTest, TheSameRunsInTwoItemsCountOnce) {
  Records first = ladder();
  Records second = ladder();
  second.item = "table-1";
  std::erase_if(first.runs, [](const ItemRun& run) { return run.arm == "normalize"; });
  const auto comparisons = compare_with_no_method({first, second});
  ASSERT_EQ(comparisons.size(), 3u);
  EXPECT_EQ(comparisons[0].item, "figure-1");
  EXPECT_NEAR(comparisons[0].find("normalize")->mean(), 0.15, 1e-12) << "from the second item";
  // The control: with other weights they are other runs.
  for (ItemRun& run : second.runs) run.weights_checksum += ", again";
  EXPECT_EQ(compare_with_no_method({first, second}).size(), 6u);
}

TEST(PooledTest, ConfigurationsAreAveragedAfterTheirSeeds) {
  Records records = ladder();
  // A third seed of one configuration weighs no more than its two.
  for (const std::string arm : {"none", "stabilize"}) {
    ItemRun run = records.runs[arm == "none" ? 0 : 2];
    run.seed = 2;
    run.score = arm == "none" ? 2.0 : 1.9;
    records.runs.push_back(run);
  }
  const auto comparisons = compare_with_no_method({records});
  const Configurations all = of_task(comparisons, "llm");
  const Pooled method = pooled(all, "stabilize", GainUnit::own);
  EXPECT_EQ(method.pairs, 7u);
  EXPECT_NEAR(method.gain.mean, (0.1 + 0.2 + 0.6) / 3, 1e-12);
  // Student's t with two degrees of freedom: 4.302653 in tables.
  const double deviation = std::sqrt((0.04 + 0.01 + 0.09) / 2);
  EXPECT_NEAR(method.gain.deviation, deviation, 1e-12);
  EXPECT_NEAR(method.interval.high, 0.3 + 4.302653 * deviation / std::sqrt(3.0), 1e-6);
  const Pooled control = pooled(all, "normalize", GainUnit::own);
  EXPECT_NEAR(control.gain.mean, (0.15 + 0.1 + 0.6) / 3, 1e-12);
  EXPECT_EQ(control.compared, 3u);
  EXPECT_EQ(control.as_good, 2u) << "better at the first rate, worse at the second, equal at the third";
  const Pooled percent = pooled({all[1]}, "stabilize", GainUnit::percent_learned);
  EXPECT_NEAR(percent.gain.mean, 100.0 * 0.2 / (std::log(256.0) - 2.6), 1e-9);
  EXPECT_FALSE(percent.interval.is_known()) << "of one configuration";
}

TEST(FactorsTest, RatesAreRelativeToTheBestOfTheirFamily) {
  Records records = ladder();
  // Another length of training is another family, of one member: there is nothing to compare.
  add(records.runs, 0.01, {{1.0, 1.0}, {0.9, 0.9}, {0.9, 0.9}}, 0, 1.0, "long");
  const auto comparisons = compare_with_no_method({records});
  const auto factors = factors_of(of_task(comparisons, "llm"));
  const Factor& rates = factor_named(factors, "learning rate / best one");
  ASSERT_EQ(rates.values.size(), 3u);
  EXPECT_NEAR(rates.values[0], 1.0, 1e-12);
  EXPECT_NEAR(rates.values[1], 3.0, 1e-12);
  EXPECT_NEAR(rates.values[2], 10.0, 1e-12);
  std::vector<std::string> labels;
  for (const Level& level : rates.levels) labels.push_back(level.label);
  EXPECT_THAT(labels, ElementsAre("the best", "up to 5 times the best", "more than 5 times"));
  EXPECT_THAT(rates.about, HasSubstr("1 families. In 1 of them"));
  // 0.01 alone was trained at both horizons.
  const Factor& horizons = factor_named(factors, "horizon");
  ASSERT_EQ(horizons.levels.size(), 2u);
  EXPECT_EQ(horizons.levels[0].members.size(), 1u);
}

TEST(FactorsTest, WhatWasDisturbedAndSgdStandApart) {
  Records records = ladder();
  for (ItemRun& run : records.runs) {
    if (run.options.lr == 0.003) run.options.inject_spikes = "50:1000";
    if (run.options.lr == 0.01) run.options.optimizer = "sgd";
  }
  const auto comparisons = compare_with_no_method({records});
  const Configurations all = of_task(comparisons, "llm");
  EXPECT_EQ(ordinary(all).size(), 1u);
  const auto factors = factors_of(all);
  ASSERT_EQ(factors.size(), 1u) << "the others have one level, or none";
  EXPECT_EQ(factors[0].axis, "optimizer");
  EXPECT_EQ(factors[0].members.size(), 2u) << "without what was injected";
}

TEST(FactorsTest, SpikesSortConfigurations) {
  const auto comparisons = compare_with_no_method({ladder()});
  const auto factors = factors_of(of_task(comparisons, "llm"));
  const Factor& spikes = factor_named(factors, "norm spikes per 1,000 updates");
  ASSERT_EQ(spikes.levels.size(), 2u);
  EXPECT_EQ(spikes.levels[0].label, "none");
  EXPECT_EQ(spikes.levels[1].label, "more than 10");
  EXPECT_NEAR(pooled(spikes.levels[1].members, "stabilize", GainUnit::own).gain.mean, 0.4, 1e-12);
}

TEST(RankCorrelationTest, IsThatOfTheRanks) {
  const std::vector<double> x = {1, 2, 3, 4, 5};
  EXPECT_NEAR(rank_correlation(x, std::vector<double>{10, 100, 1e3, 1e4, 1e9}), 1.0, 1e-12);
  EXPECT_NEAR(rank_correlation(x, std::vector<double>{5, 4, 3, 2, 1}), -1.0, 1e-12);
  // Without ties 1 - 6 sum d^2 / (n (n^2 - 1)): d = 1, 1, 1, 1, 0.
  EXPECT_NEAR(rank_correlation(x, std::vector<double>{2, 1, 4, 3, 5}), 1.0 - 6.0 * 4 / 120, 1e-12);
  // Ties: ranks 1.5, 1.5, 3 and 1, 2, 3.
  EXPECT_NEAR(rank_correlation(std::vector<double>{0, 0, 7}, std::vector<double>{1, 2, 3}),
              1.5 / std::sqrt(1.5 * 2.0), 1e-12);
  EXPECT_TRUE(std::isnan(rank_correlation(x, std::vector<double>{1, 1, 1, 1, 1})));
  EXPECT_TRUE(std::isnan(rank_correlation(std::vector<double>{1, 2}, std::vector<double>{1, 2})));
  EXPECT_THROW(rank_correlation(x, std::vector<double>{1}), std::invalid_argument);
}

TEST(DecidesPageTest, SaysWhatTheGroupsAre) {
  const std::string page = render_decides_page({ladder()});
  EXPECT_THAT(page, HasSubstr("+0.300<small>± 0.265, 3 (6)</small>"));
  EXPECT_THAT(page, HasSubstr("<small>as good: 2 of 3</small>"));
  EXPECT_THAT(page, HasSubstr("the best +0.100 (+0.150); up to 5 times the best +0.200 (+0.100)"));
  EXPECT_THAT(page, HasSubstr("GradientStabilizer is worse than no method in 0 of 3 configurations"));
  EXPECT_THAT(page, HasSubstr("3 contexts without a method make 3 configurations"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("nan<")));
  EXPECT_EQ(page, render_decides_page({ladder()})) << "a function of the records";
}

/// The same, and a fourth with one spike, where the method is worse than none.
Records long_ladder() {
  Records records = ladder();
  add(records.runs, 0.03, {{3.0, 3.2}, {3.1, 3.3}, {3.0, 3.2}}, 1, 5.0);
  return records;
}

TEST(DecidesPageTest, SaysWhetherSpikesAndGainsRiseTogether) {
  const std::string page = render_decides_page({long_ladder()});
  // By 1 - 6 sum d^2 / (n (n^2 - 1)). Ranks of spikes: 1, 3, 4, 2; of the method's gains 2, 3, 4, 1; of the
  // control's 3, 2, 4, 1.
  EXPECT_THAT(page, HasSubstr("<td>+0.80 (4)</td><td>+0.40 (4)</td>"));
  EXPECT_THAT(page, HasSubstr("GradientStabilizer is worse than no method in 1 of 4 configurations"));
}

TEST(DecidesPageTest, DrawsEveryConfigurationAtItsPlace) {
  const auto charts = decides_charts(compare_with_no_method({long_ladder()}));
  const auto found = std::ranges::find_if(
      charts, [](const auto& chart) { return chart["x"] == "norm spikes per 1,000 updates"; });
  ASSERT_NE(found, charts.end());
  const auto& line = (*found)["lines"][0];
  EXPECT_EQ(line["arm"], "stabilize");
  ASSERT_EQ(line["mean"].size(), 4u);
  const std::vector<std::pair<double, double>> wanted = {{0.0, 0.1}, {10.0, -0.1}, {20.0, 0.2}, {50.0, 0.6}};
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(line["mean"][i][0], wanted[i].first);
    EXPECT_EQ(line["mean"][i][1], wanted[i].second);
  }
}

TEST(KeptResultsTest, ThePageOfWhatDecidesIsThatOfTheRecords) {
  const std::filesystem::path results = GRADSTAB_RESULTS;
  if (!std::filesystem::exists(results)) GTEST_SKIP() << "no results are kept here";
  const std::string kept = read_file(results / kDecidesName, kPage).value();
  const std::string fresh = render_decides_page(read_reproductions(results).value());
  EXPECT_THAT(kept, HasSubstr("page-data"));
  EXPECT_EQ(without_chart_js(kept) == without_chart_js(fresh), true)
      << "write it again: build/gradstab reproduce --overview docs/results";
}

/// Gains and counts in the paragraph of a document that links to the page, and that the page does not have.
std::vector<std::string> unfounded(const std::string& document, const std::string& page) {
  const std::size_t link = document.find(kDecidesName);
  if (link == std::string::npos) return {"no link"};
  const std::size_t begin = document.rfind("\n\n", link);
  const std::string paragraph = document.substr(begin, document.find("\n\n", link) - begin);
  static const std::regex figure(R"([+]\d\.\d{3}|\d+ of \d+)");
  std::vector<std::string> found;
  for (std::sregex_iterator match(paragraph.begin(), paragraph.end(), figure), end; match != end; ++match)
    if (page.find(match->str()) == std::string::npos) found.push_back(match->str());
  return found;
}

TEST(KeptResultsTest, TheReadmesGainsAreThoseOfThePage) {
  const std::string readme = read_file(GRADSTAB_README, kPage).value();
  const std::string page = render_decides_page({ladder()});
  const std::string kept = read_file(std::filesystem::path(GRADSTAB_RESULTS) / kDecidesName, kPage).value();
  EXPECT_THAT(unfounded(readme, kept.substr(0, kept.find("page-data"))), IsEmpty());
  // The control: one digit off.
  EXPECT_THAT(unfounded("\n\nwhat-decides.html +0.300 and +0.301, 2 of 3 and 3 of 3\n\n+0.999", page),
              ElementsAre("+0.301", "3 of 3"));
}

}  // namespace
}  // namespace gradstab::lab
