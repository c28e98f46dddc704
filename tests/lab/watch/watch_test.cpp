// What a page of a watch shows, and what it is told: the report's own numbers, only what has changed, and
// nothing written.
#include "lab/watch/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "lab/report/chart_data.hpp"
#include "lab/report/grouping.hpp"
#include "lab/watch/find_followed.hpp"
#include "run_folder.hpp"
#include "tests/lab/run/test_runs.hpp"

namespace gradstab::lab::watch {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TemporaryDirectory;

constexpr Pace kAtOnce{
    .look = std::chrono::milliseconds(0), .search = std::chrono::milliseconds(0), .patience = 0};

class WatchTest : public ::testing::Test {
 protected:
  std::unique_ptr<Watch> open() const { return Watch::open(folder_.path(), kAtOnce).value(); }
  RunFolder run(const std::string& name, std::int64_t lines, const std::string& task = "llm") const {
    RunFolder made(folder_.path() / name, name, 100, task);
    if (lines > 0) made.train(1, lines);
    return made;
  }
  static Choice choice(std::string_view key, std::string_view value) {
    return read_choice(key, value).value();
  }
  TemporaryDirectory folder_;
};

/// What a reader knows after a message.
struct Known {
  json parts = json::object(), data = json::object();
  static json put_in(json value, const json& change) {
    if (change.is_array()) return change.at(0);
    for (const auto& [key, inner] : change.items()) {
      if (value.is_array()) {
        const std::size_t place = std::stoul(key);
        if (place == value.size()) value.push_back(nullptr);
        value[place] = put_in(value[place], inner);
      } else {
        value[key] = put_in(value.value(key, json()), inner);
      }
    }
    return value;
  }
  void take(const json& message) {
    if (message.contains("parts")) parts = put_in(parts, message["parts"]);
    if (message.contains("data")) data = put_in(data, message["data"]);
  }
};

TEST_F(WatchTest, TellsTheReportsOwnNumbers) {
  const RunFolder first = run("first", 20);
  run("second", 35);
  const auto watch = open();
  View view(choice("show", "0,1"));
  Known known;
  known.take(watch->message(view).value());
  const auto expected = [&] {
    const std::vector<RunRecord> runs = {read_run(folder_.path() / "first").value(),
                                         read_run(folder_.path() / "second").value()};
    return chart_data(runs, arrange(runs), 1500);
  };
  EXPECT_EQ(known.data, expected());
  EXPECT_EQ(known.data["runs"][0]["training_raw"]["y"].size(), 20u);
  EXPECT_EQ(watch->message(view), std::nullopt);

  first.train(21, 50);
  const json before = known.data;
  const json message = watch->message(view).value();
  known.take(message);
  EXPECT_NE(known.data, before);
  EXPECT_EQ(known.data, expected());
  EXPECT_EQ(known.data["runs"][0]["training_raw"]["y"].size(), 50u);
  EXPECT_EQ(known.data["runs"][0]["training_raw"]["y"][49], 2.16);
  // The other run's numbers are not sent again.
  EXPECT_TRUE(message["data"].contains("runs"));
  EXPECT_FALSE(message["data"]["runs"].contains("1"));
  EXPECT_FALSE(message["parts"].contains("row-1"));
  EXPECT_THAT(known.parts["row-0"].get<std::string>(), HasSubstr("<td>50 of 100</td>"));
  EXPECT_THAT(known.parts["tables"].get<std::string>(), HasSubstr("first"));
}

TEST_F(WatchTest, LongRunsAreThinnedAsInAReport) {
  run("first", 5000);
  const auto watch = open();
  View view(choice("show", "0"));
  Known known;
  // As many messages as reading takes.
  while (const auto message = watch->message(view)) known.take(*message);
  const std::vector<RunRecord> runs = {read_run(folder_.path() / "first").value()};
  EXPECT_EQ(known.data, chart_data(runs, arrange(runs), 1500));
  EXPECT_LE(known.data["runs"][0]["raw_norm"]["x"].size(), 1500u);
  // Every spike is there.
  int spikes = 0;
  for (const json& norm : known.data["runs"][0]["raw_norm"]["y"]) spikes += norm == 64.0 ? 1 : 0;
  EXPECT_EQ(spikes, 100);
}

TEST_F(WatchTest, ThePageIsTheReportWithTheList) {
  run("first", 20);
  const auto watch = open();
  const std::string page = watch->page({});
  EXPECT_THAT(page, AllOf(HasSubstr("Followed in"), HasSubstr("data-chart=\"raw_norm\""),
                          HasSubstr("connect-src 'self'"), HasSubstr(R"("events":"/events?like=0")"),
                          HasSubstr("new EventSource(events)")));
  EXPECT_THAT(page, HasSubstr("<td>20 of 100</td>"));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
}

TEST_F(WatchTest, NamesAreNoMarkup) {
  const std::string name = "<script>alert(1)</script>";
  const RunFolder made(folder_.path() / "<img src=x onerror=alert(2)>&\"'", name, 10);
  made.train(1, 3);
  const auto watch = open();
  const std::string page = watch->page({});
  EXPECT_THAT(page, AllOf(Not(HasSubstr(name)), Not(HasSubstr("<img src=x")),
                          HasSubstr("&lt;script&gt;alert(1)"), HasSubstr("&lt;img src=")));
  View view{Choice{}};
  const json message = watch->message(view).value();
  for (const auto& [part, html] : message["parts"][0].items())
    EXPECT_THAT(html.get<std::string>(), AllOf(Not(HasSubstr("<script>")), Not(HasSubstr("<img src=x"))))
        << part;
}

TEST_F(WatchTest, NewRunsComeToThePageOfTheirKind) {
  const auto watch = open();
  View view{Choice{}};
  const json first = watch->message(view).value();
  EXPECT_THAT(watch->page({}), HasSubstr("Nothing to show yet"));
  EXPECT_EQ(watch->followed(), 0u);
  run("a", 20);
  const json second = watch->message(view).value();
  EXPECT_NE(second["page"], first["page"]);  // it has charts now
  EXPECT_EQ(view.choice.address("/events"), "/events?like=0");
  run("b", 15);
  run("c", 15, "forecast");
  Known known;
  const json third = watch->message(view).value();
  EXPECT_EQ(third["page"], second["page"]);
  View both(choice("like", "0"));
  known.take(watch->message(both).value());
  ASSERT_EQ(known.data["runs"].size(), 2u);
  EXPECT_EQ(known.data["runs"][1]["label"], "b");
  View other(choice("like", "2"));
  Known of_other;
  of_other.take(watch->message(other).value());
  ASSERT_EQ(of_other.data["runs"].size(), 1u);
  EXPECT_EQ(of_other.data["runs"][0]["label"], "c");
  // Runs that are measured otherwise do not stand on one page.
  View mixed(choice("show", "2,0"));
  Known of_mixed;
  of_mixed.take(watch->message(mixed).value());
  EXPECT_EQ(of_mixed.data["runs"].size(), 1u);
}

TEST_F(WatchTest, OfManyRunsTheNewestAreShown) {
  for (int i = 0; i < 60; ++i) run(fmt::format("run{:02}", i), 3);
  for (int i = 0; i < 60; ++i) {
    const auto file = folder_.path() / fmt::format("run{:02}", i) / "metrics.jsonl";
    std::filesystem::last_write_time(
        file, std::filesystem::file_time_type::clock::now() - std::chrono::hours(60 - i % 30 - (i % 2) * 30));
  }
  const auto watch = open();
  EXPECT_EQ(watch->followed(), 60u);
  View view{Choice{}};
  Known known;
  known.take(watch->message(view).value());
  ASSERT_EQ(known.data["runs"].size(), kMostShown);
  for (const json& shown : known.data["runs"]) {
    const int number = std::stoi(shown["label"].get<std::string>().substr(3));
    EXPECT_EQ(number % 2, 1) << number;
  }
  EXPECT_EQ(known.parts.size() > 60, true);
}

TEST_F(WatchTest, FollowsLogsOfOtherPrograms) {
  const auto log = folder_.path() / "lightning" / "metrics.csv";
  std::filesystem::create_directories(log.parent_path());
  std::string text = "step,train_loss,grad_norm\n";
  for (int step = 1; step <= 60; ++step)
    text += fmt::format("{},{},{}\n", step, loss_at(step), step == 40 ? 90.0 : 1.0);
  std::ofstream(log) << text;
  const auto watch = open();
  View view{Choice{}};
  Known known;
  known.take(watch->message(view).value());
  ASSERT_EQ(known.data["logs"].size(), 1u);
  EXPECT_EQ(known.data["logs"][0]["norm"].size(), 60u);
  EXPECT_EQ(known.data["logs"][0]["norm"][39], 90.0);
  EXPECT_THAT(known.parts["row-0"].get<std::string>(), HasSubstr("lightning"));
  EXPECT_EQ(watch->message(view), std::nullopt);
  std::ofstream(log, std::ios::app) << "61,2.5,2.0\n";
  // It is read again when twenty times as much time has gone as reading took.
  json data;
  for (int i = 0; i < 500 && data.empty(); ++i) {
    if (const auto message = watch->message(view)) {
      known.take(*message);
      if (message->contains("data")) data = (*message)["data"];
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(known.data["logs"][0]["norm"].size(), 61u);
  EXPECT_EQ(known.data["logs"][0]["norm"][60], 2.0);
}

TEST_F(WatchTest, ARunAsInspectSeesIt) {
  run("first", 60);
  const auto watch = open();
  View view(choice("inspect", "0"));
  Known known;
  known.take(watch->message(view).value());
  ASSERT_EQ(known.data["logs"].size(), 1u);
  EXPECT_EQ(known.data["logs"][0]["norm"].size(), 60u);
  EXPECT_THAT(known.parts["finding-0"].get<std::string>(), HasSubstr("<b>"));
}

TEST_F(WatchTest, ChoicesAreNumbersAlone) {
  for (const char* value : {"", "a", "1,", ",1", "1,,2", "-1", "+1", " 1", "1 ", "0x1", "1.0", "../run",
                            "99999999999999999999999", "1;2"})
    EXPECT_EQ(read_choice("show", value), std::nullopt) << value;
  EXPECT_EQ(read_choice("like", "1,2"), std::nullopt);
  EXPECT_EQ(read_choice("other", "1"), std::nullopt);
  EXPECT_THAT(read_choice("show", "3,0,12")->numbers, ElementsAre(3, 0, 12));
  EXPECT_EQ(read_choice("show", "3,0,12")->address("/"), "/?show=3,0,12");
  std::string many = "0";
  for (std::size_t i = 1; i < kMostChosen; ++i) many += ",0";
  EXPECT_TRUE(read_choice("show", many));
  EXPECT_FALSE(read_choice("show", many + ",0"));
  run("first", 3);
  const auto watch = open();
  EXPECT_TRUE(watch->has({}));
  EXPECT_TRUE(watch->has(choice("show", "0")));
  EXPECT_FALSE(watch->has(choice("show", "0,1")));
}

TEST_F(WatchTest, FindsRunsInEveryFolderButHiddenOnesAndRuns) {
  run("a", 1);
  run("sweep/b", 1);
  run("sweep/deep/er/c", 1);
  run("1/2/3/4/5/too deep", 1);
  run(".hidden/d", 1);
  run("a/inside", 1);
  std::filesystem::create_directory_symlink("..", folder_.path() / "sweep" / "loop");
  const auto found = find_followed(folder_.path(), [](const Found&) { return false; });
  std::vector<std::string> names;
  for (const Found& each : found) {
    const std::string name = each.path.lexically_relative(folder_.path()).string();
    if (name.find("loop") == std::string::npos) names.push_back(name);
  }
  EXPECT_THAT(names, ElementsAre("a", "sweep/b", "sweep/deep/er/c"));
  EXPECT_THAT(find_followed(folder_.path() / "a", [](const Found&) { return false; }),
              ElementsAre(Found{Found::Kind::run, folder_.path() / "a"}));
  EXPECT_THAT(find_followed(folder_.path(), [](const Found&) { return true; }), IsEmpty());
}

/// Of everything below a folder: type, times, bytes.
std::map<std::string, std::string> inventory(const std::filesystem::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    std::string about = std::to_string(entry.last_write_time().time_since_epoch().count());
    if (entry.is_regular_file()) {
      std::ifstream file(entry.path(), std::ios::binary);
      about.append(" ").append(std::istreambuf_iterator<char>(file), {});
    }
    found[entry.path().string()] = about;
  }
  return found;
}

TEST_F(WatchTest, WritesNothing) {
  const RunFolder first = run("first", 30);
  first.write(".lock", "process 1 on nowhere\n");
  run("second", 30).finish(30);
  const auto before = inventory(folder_.path());
  ASSERT_GT(before.size(), 6u);
  const auto watch = open();
  for (const Choice& each : {Choice{}, choice("show", "0,1"), choice("inspect", "1")}) {
    watch->page(each);
    View view(each);
    for (int i = 0; i < 3; ++i) watch->message(view);
  }
  EXPECT_EQ(inventory(folder_.path()), before);
  first.train(31, 31);  // the control
  EXPECT_NE(inventory(folder_.path()), before);
}

TEST_F(WatchTest, NoSuchFolder) {
  const auto watch = Watch::open(folder_.path() / "nowhere");
  ASSERT_FALSE(watch.ok());
  EXPECT_THAT(watch.status().message(), AllOf(HasSubstr("nowhere' does not exist"), Not(HasSubstr("\n"))));
}

}  // namespace
}  // namespace gradstab::lab::watch
