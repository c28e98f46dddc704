#include "lab/report/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lab/page/markup.hpp"
#include "lab/report/grouping.hpp"
#include "lab/report/settings_table.hpp"
#include "lab/report/verdict.hpp"
#include "tests/lab/page_text.hpp"
#include "tests/lab/run/test_runs.hpp"

namespace gradstab::lab {
namespace {

using ::testing::AllOf;
using testing::between;
using testing::count_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::inlined_data;
using ::testing::IsEmpty;
using testing::make_run;
using ::testing::Not;
using testing::without_comments;

std::string render(const std::vector<RunRecord>& runs, const ReportOptions& options = {}) {
  return render_report(runs, options).value();
}

/// The exact values of the table rows after `caption`, one list per row; NaN for an empty cell.
std::vector<std::vector<double>> rows_of_table(const std::string& page, const std::string& caption) {
  std::vector<std::vector<double>> rows;
  const std::string body = between(page, "<tbody>", "</tbody>", page.find("<caption>" + caption));
  for (std::size_t at = body.find("<tr>"); at != std::string::npos; at = body.find("<tr>", at + 1)) {
    const std::string row = body.substr(at, body.find("</tr>", at) - at);
    std::vector<double> values;
    constexpr std::string_view kKey = "data-value=\"";
    for (std::size_t cell = row.find(kKey); cell != std::string::npos; cell = row.find(kKey, cell + 1)) {
      const char* text = row.c_str() + cell + kKey.size();
      values.push_back(*text == '"' ? kNoValue : std::strtod(text, nullptr));
    }
    rows.push_back(values);
  }
  return rows;
}

TEST(ReportTest, TableNumbersAreTheRecordsNumbers) {
  const std::vector<RunRecord> runs = {make_run("adamw", "none", 0, 4.75),
                                       make_run("stab", "stabilize", 0, 4.4375)};
  const std::string page = render(runs);
  EXPECT_THAT(rows_of_table(page, "One row per run"),
              ElementsAre(ElementsAre(4.75, std::exp(4.75), 3, 123, 20, 12110),
                          ElementsAre(4.4375, 4.4375 - 4.75, std::exp(4.4375), 3, 123, 20, 12110)));
  EXPECT_THAT(page, HasSubstr(">4.7500<"));
  EXPECT_THAT(page, HasSubstr(">4.4375<small>lowest</small>"));
  EXPECT_THAT(page, HasSubstr(">\u22120.3125<"));
  EXPECT_THAT(page, HasSubstr(">12\u202f110<"));
  EXPECT_THAT(page, HasSubstr(">20.0 s<"));
  EXPECT_THAT(page, HasSubstr(">123<small>at step 20</small>"));
}

TEST(ReportTest, InlinedSeriesAreTheRecordsSeries) {
  const std::string page = render({make_run("a", "none", 0, 4.75)});
  const nlohmann::json run = inlined_data(page)["runs"][0];
  EXPECT_EQ(run["raw_norm"]["x"].size(), 40u);
  EXPECT_EQ(run["raw_norm"]["y"][19], 123.0);
  EXPECT_EQ(run["factor"]["y"][0], 0.5);
  EXPECT_EQ(run["flagged"]["y"][39], 3.0);
  EXPECT_EQ(run["validation"]["x"], nlohmann::json::parse("[10,20,30,40]"));
  EXPECT_EQ(run["validation"]["y"][3], 4.75);
}

TEST(ReportTest, HostileTextStaysText) {
  const std::string hostile = "</script><b>x</b>{{data}}<!--\"'&";
  RunRecord run = make_run(hostile, "none", 0, 4);
  run.settings["note"] = hostile;
  run.settings["<i>key"] = {{"deep", hostile}};
  run.environment["cpu"] = hostile;
  run.task = hostile;
  run.command = hostile;
  run.notes = {hostile};
  ReportOptions options;
  options.title = hostile;
  options.generated_at = hostile;
  const std::string page = render({run, make_run(hostile + "2", "other", 1, 5)}, options);
  EXPECT_THAT(page, Not(HasSubstr("<b>x")));
  EXPECT_THAT(page, Not(HasSubstr("<i>key")));
  EXPECT_THAT(page, Not(HasSubstr("<!--")));
  EXPECT_EQ(count_of(page, "</script>"), 3u);  // data, Chart.js, the page's own
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;&lt;b&gt;x&lt;/b&gt;{{data}}&lt;!--&quot;&#39;&amp;"));
  EXPECT_EQ(inlined_data(page)["runs"][0]["label"], hostile);
}

TEST(ReportTest, BytesThatAreNotUtf8DoNotStopTheReport) {
  EXPECT_TRUE(render_report(std::vector<RunRecord>{make_run("a\xff\xfe", "none", 0, 4)}, {}).ok());
}

TEST(ReportTest, NothingIsLoadedFromAnywhere) {
  const std::string page = render({make_run("a", "none", 0, 4), make_run("b", "clip", 0, 5)});
  const std::string code = without_comments(page);
  EXPECT_THAT(code, Not(HasSubstr("http://")));
  EXPECT_THAT(code, Not(HasSubstr("https://")));
  EXPECT_THAT(code, Not(HasSubstr("src=")));
  EXPECT_THAT(code, Not(HasSubstr("url(")));
  EXPECT_THAT(code, Not(HasSubstr("@import")));
  EXPECT_EQ(count_of(code, "href="), 1u);  // the empty icon
  EXPECT_THAT(code, HasSubstr("href=\"data:,\""));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, AllOf(HasSubstr("Chart.js v"), HasSubstr("Released under the MIT License")));
}

TEST(ReportTest, EveryPlaceholderIsFilled) {
  const std::string page = render({make_run("a", "none", 0, 4)});
  EXPECT_THAT(page.substr(0, page.find("<script")), Not(HasSubstr("{{")));
}

TEST(ReportTest, NonFiniteValuesAreDashesAndNulls) {
  RunRecord run = make_run("bad", "none", 0, 4);
  run.summary->final = {kNoValue, kNoValue};
  run.summary->diverged = true;
  run.steps[5].grad_norm = INFINITY;
  run.steps[6].loss = kNoValue;
  run.evaluations.back().values.front() = kNoValue;
  const std::string page = render({make_run("good", "clip", 0, 5), run});
  EXPECT_THAT(page, HasSubstr("<td data-value=\"\">\u2013</td>"));
  EXPECT_THAT(page, HasSubstr("<span class=\"state bad\">diverged</span>"));
  const nlohmann::json data = inlined_data(page)["runs"][1];
  EXPECT_TRUE(data["raw_norm"]["y"][5].is_null());
  EXPECT_TRUE(data["training_raw"]["y"][6].is_null());
  EXPECT_TRUE(data["validation"]["y"][3].is_null());
  const std::vector<double> row = rows_of_table(page, "One row per run")[1];
  EXPECT_TRUE(std::isnan(row[0]));
  EXPECT_EQ(row[4], 123);  // the infinity is not the largest norm
}

TEST(ReportTest, EmptyMetricsAreShownAsSuch) {
  RunRecord run;
  run.name = "just started";
  run.measures = measures_of_format_1(kNoValue);
  const std::string page = render({run});
  EXPECT_THAT(page, HasSubstr("running or killed"));
  EXPECT_THAT(page, HasSubstr("no training step is recorded"));
  EXPECT_THAT(inlined_data(page)["runs"][0]["training"]["x"], IsEmpty());
}

TEST(ReportTest, ShorterRunIsComparedAtItsOwnStep) {
  const RunRecord reference = make_run("a", "none", 0, 4);
  RunRecord killed = make_run("b", "clip", 0, 4.5);
  killed.summary.reset();
  killed.steps.resize(25);
  killed.evaluations.resize(2);
  const RunFigures figures = figures_of(killed, reference);
  EXPECT_EQ(figures.score_step, 20);
  EXPECT_EQ(figures.score(), killed.evaluations[1].score());
  EXPECT_EQ(figures.difference, killed.evaluations[1].score() - reference.evaluations[1].score());
  EXPECT_EQ(figures.spikes, 3);
  EXPECT_EQ(figures.seconds, 12.5);
  EXPECT_EQ(figures.samples_per_second, 12110);
  EXPECT_EQ(figures.state, RunState::running_or_killed);
  const std::string page = render({reference, killed});
  EXPECT_THAT(page, HasSubstr("<small>at step 20</small>"));
  EXPECT_THAT(page, HasSubstr("<small>step 25 of 40</small>"));
  EXPECT_THAT(page, HasSubstr("There is no verdict"));
}

TEST(ReportTest, LowestIsOnlyWhatWasCompared) {
  RunRecord killed = make_run("b", "clip", 0, 3.5);
  killed.summary.reset();
  killed.steps.resize(25);
  killed.evaluations.resize(2);
  // The other one ended higher, but alone reached the end.
  EXPECT_THAT(render({make_run("a", "none", 0, 4), killed}), Not(HasSubstr("<small>lowest</small>")));
  EXPECT_THAT(render({make_run("a", "none", 0, 4), make_run("b", "clip", 0, 3.5)}),
              HasSubstr(">3.5000<small>lowest</small>"));
}

TEST(ReportTest, GroupsShowMeanAndDeviationOverSeeds) {
  const std::vector<RunRecord> runs = {make_run("a", "none", 0, 4.75), make_run("a", "none", 1, 4.25),
                                       make_run("b", "stabilize", 0, 4.0),
                                       make_run("b", "stabilize", 1, 4.125)};
  const std::string page = render(runs);
  const auto rows = rows_of_table(page, "Mean \u00b1 standard deviation over seeds");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0][0], 4.5);
  EXPECT_EQ(rows[1][0], 4.0625);
  EXPECT_EQ(rows[1][1], 4.0625 - 4.5);
  EXPECT_THAT(page, HasSubstr("<small>\u00b1 0.3536</small>"));  // 0.25 * sqrt(2)
  EXPECT_THAT(page, HasSubstr("<small>\u00b1 0.0884</small>"));
  EXPECT_THAT(page, HasSubstr("2 finished"));
  EXPECT_THAT(page,
              HasSubstr("only 1.7 times its standard error"));  // 0.4375 / sqrt((0.125 + 0.0078125) / 2)
  EXPECT_EQ(rows_of_table(page, "One row per run").size(), 4u);
  const nlohmann::json group = inlined_data(page)["groups"][1];
  EXPECT_EQ(group["runs"], nlohmann::json::parse("[2,3]"));
  EXPECT_EQ(group["validation"]["y"][3], 4.0625);
}

TEST(ReportTest, MeanOverFewerRunsThanTheGroupHasSaysSo) {
  RunRecord diverged = make_run("a", "none", 1, 5);
  diverged.summary->final.front() = kNoValue;
  diverged.summary->diverged = true;
  const std::string page = render({make_run("a", "none", 0, 4.75), diverged, make_run("b", "clip", 0, 4.5)});
  EXPECT_THAT(page, HasSubstr("(1 of 2 runs)"));
  EXPECT_THAT(page, HasSubstr("1 diverged"));
}

TEST(ReportTest, LongRunsAreThinnedButKeepTheirSpike) {
  RunRecord run = make_run("a", "none", 0, 4, 5000);
  ReportOptions options;
  options.max_points = 50;
  const nlohmann::json series = inlined_data(render({run}, options))["runs"][0]["raw_norm"];
  EXPECT_LE(series["x"].size(), 50u);
  const auto spike = std::find(series["x"].begin(), series["x"].end(), 2500);
  ASSERT_NE(spike, series["x"].end());
  EXPECT_EQ(series["y"][static_cast<std::size_t>(spike - series["x"].begin())], 123.0);
}

TEST(ReportTest, ImpossibleRequestsAreErrors) {
  EXPECT_EQ(render_report({}, {}).status().code(), StatusCode::invalid_argument);
  ReportOptions options;
  options.max_points = 3;
  const auto result = render_report(std::vector<RunRecord>{make_run("a", "none", 0, 4)}, options);
  EXPECT_THAT(result.status().message(), HasSubstr("got 3"));
}

TEST(ReportTest, IsAFunctionOfItsInputs) {
  const std::vector<RunRecord> runs = {make_run("a", "none", 0, 4), make_run("b", "clip", 0, 5)};
  EXPECT_EQ(render(runs), render(runs));
}

TEST(SettingsTableTest, SeparatesWhatDiffersFromWhatIsTheSame) {
  const nlohmann::json a = {
      {"lr", 0.1}, {"model", "1m"}, {"clip", nullptr}, {"nested", {{"x", 1}}}, {"out", "runs/a"}};
  const nlohmann::json b = {{"lr", 0.2}, {"model", "1m"}, {"nested", {{"x", 1}}}, {"out", "runs/b"}};
  const std::vector<SettingsColumn> columns = {{"a", {&a}}, {"b", {&b}}};
  EXPECT_THAT(differing_keys(columns), ElementsAre("lr", "out"));
  const std::string html = settings_table(columns, "settings");
  const std::string differing = between(html, "Differs", "</table>");
  EXPECT_THAT(differing, HasSubstr("<code>lr</code></th><td>0.1</td><td>0.2</td>"));
  EXPECT_THAT(differing, AllOf(Not(HasSubstr("model")), Not(HasSubstr("runs/a")), Not(HasSubstr("nested"))));
  EXPECT_THAT(html, HasSubstr("3 settings are the same everywhere"));
  EXPECT_THAT(html, HasSubstr("<code>nested.x</code>"));
}

TEST(MarkupTest, NumbersReadWell) {
  EXPECT_EQ(significant(0), "0");
  EXPECT_EQ(significant(0.012345), "0.0123");
  EXPECT_EQ(significant(1.934), "1.93");
  EXPECT_EQ(significant(999.6), "1000");
  EXPECT_EQ(significant(48300), "48\u202f300");
  EXPECT_EQ(significant(2.5e9), "2.50e+09");
  EXPECT_EQ(grouped_integer(1234567), "1\u202f234\u202f567");
  EXPECT_EQ(grouped_integer(-12345), "-12\u202f345");
  EXPECT_EQ(signed_decimals(-0.00001, 4), "0.0000");
  EXPECT_EQ(signed_decimals(0.12, 2), "+0.12");
  EXPECT_EQ(duration(61.24), "61.2 s");
  EXPECT_EQ(duration(725), "12 min 05 s");
  EXPECT_EQ(duration(10920), "3 h 02 min");
  EXPECT_EQ(duration(kNoValue), kNothing);
}

}  // namespace
}  // namespace gradstab::lab
