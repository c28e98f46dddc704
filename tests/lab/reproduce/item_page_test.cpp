// The page of an item, and the pages and verdicts that are kept in docs/results.
#include "lab/reproduce/item_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "lab/reproduce/item_tables.hpp"
#include "lab/reproduce/names.hpp"
#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"
#include "test_records.hpp"

namespace gradstab::lab {
namespace {

constexpr FileKind kPage{"a kept page", 16 * kMiB};

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Records table_records() {
  std::vector<ItemRun> runs;
  for (const char* horizon : {"short", "long"}) {
    for (int seed = 0; seed < 2; ++seed) {
      const Settings context = {{"optimizer", "adamw"}, {"precision", "fp4"}};
      runs.push_back(finished_run("none", seed, 2.0 + 0.1 * seed, context, horizon));
      runs.push_back(finished_run("stabilize", seed, 1.9 + 0.1 * seed, context, horizon));
    }
  }
  runs.back().score = 9.0;
  runs.back().diverged = true;
  Records records = records_of(std::move(runs));
  records.item = "table-1";
  return records;
}

std::string page_of(const Records& records) {
  const Item& item = *find_item(records.item);
  return render_item_page(item, records, judge(item.claims(), records));
}

TEST(ItemTablesTest, OurFiguresStandBesideThePublishedOnes) {
  const std::string table = configuration_table(table_records(), "short", find_item("table-1")->published);
  EXPECT_THAT(table, HasSubstr(">2.0500<small>± 0.0707</small>"));
  EXPECT_THAT(table, HasSubstr(">7.77<"));  // exp(2.05)
  EXPECT_THAT(table, HasSubstr("−0.1000<small>± 0.0000</small>"));
  EXPECT_THAT(table, HasSubstr("<td>28.72 / 21.35</td>"));
  EXPECT_THAT(table, HasSubstr("<td>26.66 / 18.84</td>"));
  EXPECT_THAT(table, HasSubstr("130M / 350M: another scale"));
  EXPECT_THAT(table, HasSubstr("<td>0/2</td>"));
  EXPECT_THAT(table, Not(HasSubstr("<td>1/2</td>")));
}

TEST(ItemTablesTest, DivergenceHasItsColumn) {
  const std::string table = configuration_table(table_records(), "long", {});
  EXPECT_THAT(table, HasSubstr("<td>1/2</td>"));
  EXPECT_THAT(table, Not(HasSubstr("Published")));
}

TEST(ItemTablesTest, AClaimShowsItsSeedsAndItsInterval) {
  Claim claim{"lower <than>",
              "a test",
              "nats per token",
              {compared(mean_score, "stabilize", "none", "against none")}};
  const std::string section =
      claim_section(judge({claim}, table_records()).front(), table_records().measures);
  EXPECT_THAT(section, HasSubstr("lower &lt;than&gt;"));
  EXPECT_THAT(section, HasSubstr("short: reproduced. long: undecided."));
  EXPECT_THAT(section, HasSubstr("−0.1000&ensp;−0.1000"));
  EXPECT_THAT(section, HasSubstr("<span class=\"state open\">undecided</span>"));
}

TEST(ItemPageTest, HoldsEverythingAndLoadsNothing) {
  Records records = table_records();
  records.runs.front().name = "</script><b>";
  records.runs.front().state = "failed";
  records.runs.front().error = "<i>";
  const std::string page = page_of(records);
  EXPECT_THAT(page, HasSubstr("table-1: Six methods"));
  EXPECT_THAT(page, HasSubstr("Student&#39;s t"));
  EXPECT_THAT(page, HasSubstr("gradstab reproduce table-1 --scale cpu"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("</script><b>")));
  EXPECT_THAT(page, Not(HasSubstr("<i>")));
  EXPECT_EQ(page, page_of(records)) << "a function of the records";
}

TEST(PlotTest, DrawsEveryArmOfEveryHorizon) {
  Records records = table_records();
  for (ItemRun& run : records.runs) run.evaluations = {{1, {3.0}}, {2, {run.score}}};
  const auto charts = plot_data(find_item("table-1")->plots(), records);
  ASSERT_EQ(charts.size(), 2u);
  ASSERT_EQ(charts[0]["lines"].size(), 2u);
  EXPECT_EQ(charts[0]["title"], "Evaluation loss, short, AdamW, precision fp4");
  EXPECT_EQ(charts[0]["lines"][0]["label"], "no method");
  EXPECT_EQ(charts[0]["lines"][0]["mean"], nlohmann::json::parse("[[1.0,3.0],[2.0,2.05]]"));
  EXPECT_EQ(charts[0]["lines"][0]["seeds"].size(), 2u);
}

TEST(PlotTest, CurvesStandAtTheSettingsOfTheirRuns) {
  std::vector<ItemRun> runs;
  for (int seed = 0; seed < 2; ++seed) {
    // Not in order: the lines are.
    runs.push_back(finished_run("none", seed, 2.5 + seed, {{"lr", "0.01"}}));
    runs.push_back(finished_run("none", seed, 2.0 + seed, {{"lr", "0.0003"}}));
  }
  Records records = records_of(std::move(runs));
  records.item = "figure-4";
  const auto charts = plot_data(find_item("figure-4")->plots(), records);
  ASSERT_GE(charts.size(), 1u);
  EXPECT_EQ(charts[0]["title"], "Loss against lr, short");
  const auto& line = charts[0]["lines"][0];
  EXPECT_EQ(line["mean"], nlohmann::json::parse("[[0.0003,2.5],[0.01,3.0]]"));
  EXPECT_EQ(line["seeds"], nlohmann::json::parse("[[[0.0003,2.0],[0.01,2.5]],[[0.0003,3.0],[0.01,3.5]]]"));
}

TEST(PlotTest, UpdatesAreIntegers) {
  Records records = table_records();
  for (ItemRun& run : records.runs) run.evaluations = {{100, {3.0}}, {200, {run.score}}};
  const auto charts = plot_data(find_item("table-1")->plots(), records);
  for (const auto& point : charts[0]["lines"][0]["mean"]) EXPECT_TRUE(point[0].is_number_integer());
}

TEST(PlotTest, AMeanIsOneOfAllSeeds) {
  Records records = table_records();
  for (ItemRun& run : records.runs) run.evaluations = {{100, {3.0}}, {200, {run.score}}};
  records.runs[0].evaluations[1].values = {kNoValue};
  const auto line = plot_data(find_item("table-1")->plots(), records)[0]["lines"][0];
  EXPECT_EQ(line["mean"], nlohmann::json::parse("[[100,3.0],[200,null]]"));
}

TEST(NamesTest, CoordinatesOfPlansAreSaidInWords) {
  for (const Item& item : all_items()) {
    for (const Scale scale : {Scale::smoke, Scale::cpu, Scale::gpu, Scale::paper}) {
      for (const Part& part : plan_of(item, scale).parts) {
        for (const Context& context : part.contexts) {
          const std::string text = context_text(context.coordinates);
          EXPECT_THAT(text,
                      Not(::testing::AnyOf(HasSubstr("1in"), HasSubstr("+"), ::testing::EndsWith(" no"))))
              << item.name;
        }
      }
    }
  }
  EXPECT_EQ(context_text({{"lr", "0.003"}, {"nan", "1in100"}}), "lr 0.003, a NaN in 1 % of the updates");
}

TEST(ClaimTest, EverySourceCanBeLookedUp) {
  for (const Item& item : all_items()) {
    for (const Claim& claim : item.claims()) {
      EXPECT_THAT(claim.source, ::testing::AnyOf(::testing::StartsWith("the paper's table "),
                                                 ::testing::StartsWith("the paper's figure "), kOurs))
          << item.name << ": " << claim.text;
    }
  }
}

/// The reproductions that are kept in the repository.
std::vector<std::filesystem::path> kept_results() {
  std::vector<std::filesystem::path> folders;
  if (!std::filesystem::exists(GRADSTAB_RESULTS)) return folders;
  for (const auto& entry : std::filesystem::directory_iterator(GRADSTAB_RESULTS))
    if (std::filesystem::exists(entry.path() / "verdicts.json")) folders.push_back(entry.path());
  std::ranges::sort(folders);
  return folders;
}

TEST(KeptResultsTest, VerdictsAndPagesAreThoseOfTheRecords) {
  for (const auto& folder : kept_results()) {
    SCOPED_TRACE(folder.filename().string());
    const std::string lines =
        unpacked(read_file(folder / "records.jsonl.gz", kRecordsFile).value(), kRecordsFile.max_bytes)
            .value();
    const Records records = records_from_json_lines(lines).value();
    EXPECT_EQ(records.finished(), records.runs.size());
    const Item& item = *find_item(records.item);
    const auto results = judge(item.claims(), records);
    const auto kept =
        nlohmann::ordered_json::parse(read_file(folder / "verdicts.json", kDescriptionFile).value());
    EXPECT_EQ(kept.at("claims").dump(), to_json(results).dump());
    const std::string page = without_chart_js(read_file(folder / "report.html", kPage).value());
    EXPECT_THAT(page, AllOf(HasSubstr("page-data"), HasSubstr("<h1>")));
    EXPECT_EQ(page == without_chart_js(render_item_page(item, records, results)), true);
  }
}

TEST(KeptResultsTest, AreFewEnoughBytesForARepository) {
  if (kept_results().empty()) GTEST_SKIP() << "no results are kept here";
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(GRADSTAB_RESULTS))
    bytes += entry.is_regular_file() ? entry.file_size() : 0;
  EXPECT_GT(bytes, 1'000'000U);
  EXPECT_LT(bytes, 10'000'000U);
}

}  // namespace
}  // namespace gradstab::lab
