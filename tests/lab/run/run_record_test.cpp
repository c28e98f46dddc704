#include "lab/run/run_record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "lab/run/metrics_reader.hpp"
#include "test_runs.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TemporaryDirectory;

constexpr const char* kRun =
    R"({"format":1,"name":"adamw","task":"llm","settings":{"lr":0.01,"seed":0,"new_key":[1]},
  "model":{"parameters":5},"data":{"source":"dict-gcide"},"environment":{"threads":2},"command":"gradstab train llm"})";
constexpr const char* kSummary = R"({"format":1,"state":"finished","step":2,"final_validation_loss":4.61,
  "final_perplexity":100.5,"best_validation_loss":4.6,"spikes":14,"nonfinite":0,"diverged":false,"seconds":61.2,
  "tokens_per_second":12110.0})";
constexpr const char* kStep1 =
    R"({"kind":"step","step":1,"loss":6.91,"lr":0.006,"tokens":24576,"grad_norm":1.93,)"
    R"("stabilized_norm":1.71,"spikes":2,"nonfinite":0,"seconds":0.25})";
constexpr const char* kStep2 = R"({"kind":"step","step":2,"loss":null,"grad_norm":null})";
constexpr const char* kEval2 = R"({"kind":"eval","step":2,"loss":4.61,"perplexity":100.5})";

/// A directory with the three files; tests spoil one of them.
class ReadRunTest : public ::testing::Test {
 protected:
  ReadRunTest() {
    directory_.write("run.json", kRun);
    directory_.write("summary.json", kSummary);
    directory_.write("metrics.jsonl", std::string(kStep1) + "\n" + kStep2 + "\n" + kEval2 + "\n");
  }

  Result<RunRecord> read() const { return read_run(directory_.path()); }

  /// The error text, after checking that it is an error on one line that names the directory.
  std::string error(StatusCode code) const {
    const Result<RunRecord> result = read();
    EXPECT_FALSE(result.ok());
    EXPECT_EQ(to_string(result.status().code()), to_string(code));
    EXPECT_THAT(result.status().message(), Not(HasSubstr("\n")));
    EXPECT_THAT(result.status().message(), HasSubstr(directory_.path().string()));
    return result.status().message();
  }

  TemporaryDirectory directory_;
};

TEST_F(ReadRunTest, TakesEveryFigure) {
  const RunRecord run = read().value();
  EXPECT_EQ(run.name, "adamw");
  EXPECT_EQ(run.task, "llm");
  EXPECT_EQ(run.command, "gradstab train llm");
  EXPECT_EQ(run.settings["lr"], 0.01);
  EXPECT_EQ(run.model["parameters"], 5);
  ASSERT_EQ(run.steps.size(), 2u);
  EXPECT_EQ(run.steps[0].step, 1);
  EXPECT_EQ(run.steps[0].loss, 6.91);
  EXPECT_EQ(run.steps[0].learning_rate, 0.006);
  EXPECT_EQ(run.steps[0].grad_norm, 1.93);
  EXPECT_EQ(run.steps[0].stabilized_norm, 1.71);
  EXPECT_EQ(run.steps[0].spikes, 2);
  EXPECT_EQ(run.steps[0].seconds, 0.25);
  ASSERT_EQ(run.evaluations.size(), 1u);
  EXPECT_EQ(run.evaluations[0].values[1], 100.5);
  ASSERT_TRUE(run.summary.has_value());
  EXPECT_EQ(run.summary->score(), 4.61);
  EXPECT_EQ(run.summary->spikes, 14);
  EXPECT_FALSE(run.summary->diverged);
  EXPECT_THAT(run.notes, IsEmpty());
}

TEST_F(ReadRunTest, NullAndMissingNumbersAreNaN) {
  const RunRecord run = read().value();
  EXPECT_TRUE(std::isnan(run.steps[1].loss));
  EXPECT_TRUE(std::isnan(run.steps[1].grad_norm));
  EXPECT_TRUE(std::isnan(run.steps[1].seconds));
}

TEST_F(ReadRunTest, MissingSummaryIsARunInProgress) {
  std::filesystem::remove(directory_.path() / "summary.json");
  EXPECT_FALSE(read().value().summary.has_value());
}

TEST_F(ReadRunTest, TruncatedLastLineIsSkippedWithANote) {
  directory_.write("metrics.jsonl", std::string(kStep1) + "\n" + R"({"kind":"step","st)");
  const RunRecord run = read().value();
  EXPECT_EQ(run.steps.size(), 1u);
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("line 2")));
}

TEST_F(ReadRunTest, BrokenLineInTheMiddleIsAnErrorWithItsNumber) {
  directory_.write("metrics.jsonl", std::string(kStep1) + "\n{\"kind\":\n" + kStep2 + "\n");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("metrics.jsonl line 2"));
}

TEST_F(ReadRunTest, MissingMetricsAreEmptyWithANote) {
  std::filesystem::remove(directory_.path() / "metrics.jsonl");
  const RunRecord run = read().value();
  EXPECT_THAT(run.steps, IsEmpty());
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("metrics.jsonl")));
}

TEST_F(ReadRunTest, UnknownKindsAreSkipped) {
  directory_.write("metrics.jsonl", std::string("{\"kind\":\"checkpoint\"}\n\n") + kStep1 + "\n");
  EXPECT_EQ(read().value().steps.size(), 1u);
}

TEST_F(ReadRunTest, LinesThatGoBackReplaceTheLaterOnes) {
  directory_.write("metrics.jsonl", std::string(kStep1) + "\n" + kStep2 + "\n" + kStep1 + "\n");
  const RunRecord run = read().value();
  ASSERT_EQ(run.steps.size(), 1u);
  EXPECT_EQ(run.steps[0].step, 1);
  EXPECT_THAT(run.notes, ElementsAre(HasSubstr("line 3")));
}

TEST_F(ReadRunTest, WrongTypesNameTheKeyAndWhatWasExpected) {
  directory_.write("metrics.jsonl", "{\"kind\":\"step\",\"step\":1,\"loss\":\"high\"}\n");
  EXPECT_THAT(error(StatusCode::corrupt_data),
              HasSubstr("metrics.jsonl line 1: loss must be a number or null, got \"high\""));
  directory_.write("metrics.jsonl", "{\"kind\":\"step\",\"step\":-1}\n");
  EXPECT_THAT(error(StatusCode::corrupt_data),
              HasSubstr("metrics.jsonl line 1: step must be a whole number of at least 0, got -1"));
  directory_.write("metrics.jsonl", "{\"loss\":1}\n");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("expected a 'kind'"));
}

TEST_F(ReadRunTest, ForeignJsonIsNotARun) {
  directory_.write("run.json", R"({"lr":1})");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("run.json: not written by gradstab"));
  directory_.write("run.json", "[1,2]");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("expected a JSON object, found array"));
  directory_.write("run.json", "hello\nworld");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("does not parse"));
  directory_.write("run.json", R"({"format":1,"name":7})");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("run.json: name must be a text, got 7"));
}

TEST_F(ReadRunTest, OtherFormatVersionsAreRefused) {
  directory_.write("run.json", R"({"format":3})");
  EXPECT_THAT(error(StatusCode::version_mismatch), HasSubstr("format 3 is not known, expected 1 to 2"));
  directory_.write("run.json", kRun);
  directory_.write("summary.json", R"({"format":3})");
  EXPECT_THAT(error(StatusCode::version_mismatch), HasSubstr("summary.json"));
}

TEST_F(ReadRunTest, OnlyTheFirstFormatLeavesTheMeasuresOut) {
  EXPECT_EQ(read().value().measures.score().key, "validation_loss");
  std::string run = kRun;
  run.replace(run.find("\"format\":1"), 10, "\"format\":2");
  directory_.write("run.json", run);
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("measures"));
}

TEST_F(ReadRunTest, UnknownStateIsRefused) {
  directory_.write("summary.json", R"({"format":1,"state":"asleep","step":1})");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("\"asleep\""));
}

TEST_F(ReadRunTest, DirectoryWithoutRunFileIsNotARun) {
  std::filesystem::remove(directory_.path() / "run.json");
  EXPECT_THAT(error(StatusCode::corrupt_data), HasSubstr("it holds no run.json"));
}

TEST_F(ReadRunTest, MissingDirectoryAndPlainFileSayWhatTheyAre) {
  const Result<RunRecord> missing = read_run(directory_.path() / "nowhere");
  EXPECT_EQ(missing.status().code(), StatusCode::io_error);
  EXPECT_THAT(missing.status().message(), HasSubstr("does not exist"));
  const Result<RunRecord> file = read_run(directory_.path() / "run.json");
  EXPECT_THAT(file.status().message(), HasSubstr("is not a run directory: it is a file"));
}

TEST(RunDirectoriesTest, OfAFolderOfRunsAreThoseInIt) {
  TemporaryDirectory folder;
  for (const char* name : {"b", "a", "logs"}) std::filesystem::create_directory(folder.path() / name);
  folder.write("b/run.json", kRun);
  folder.write("a/run.json", kRun);
  folder.write("sweep.json", "{}");
  const auto a = folder.path() / "a";
  EXPECT_THAT(run_directories(folder.path()), ElementsAre(a, folder.path() / "b"));
  EXPECT_THAT(run_directories(a), ElementsAre(a));
  // What is neither is left to read_run to refuse.
  EXPECT_THAT(run_directories(folder.path() / "logs"), ElementsAre(folder.path() / "logs"));
  EXPECT_THAT(run_directories(folder.path() / "nowhere"), ElementsAre(folder.path() / "nowhere"));
  EXPECT_THAT(run_directories(folder.path() / "sweep.json"), ElementsAre(folder.path() / "sweep.json"));
}

TEST_F(ReadRunTest, MetricsInPiecesOfAnySizeAreTheSame) {
  const std::string text = std::string(kStep1) + "\n\n" + kStep2 + "\r\n" + kEval2 + "\n" + kStep1;
  directory_.write("metrics.jsonl", text);
  const RunRecord whole = read().value();
  EXPECT_EQ(whole.steps.size(), 1u);  // the last line goes back
  for (std::size_t size = 1; size <= text.size(); ++size) {
    RunRecord run = read_run_description(directory_.path()).value();
    EXPECT_TRUE(run.steps.empty());
    MetricsReader reader(directory_.path() / "metrics.jsonl");
    for (std::size_t at = 0; at < text.size(); at += size)
      ASSERT_TRUE(reader.add(text.substr(at, size), run).ok());
    EXPECT_EQ(run.steps.size(), 2u) << size;  // the last line is not known to be whole
    ASSERT_TRUE(reader.finish(run).ok());
    ASSERT_EQ(run.steps.size(), 1u) << size;
    EXPECT_EQ(run.steps[0].loss, 6.91);
    EXPECT_EQ(run.notes, whole.notes);
    ASSERT_EQ(run.evaluations.size(), 1u);
    EXPECT_EQ(run.evaluations[0].score(), 4.61);
  }
}

TEST_F(ReadRunTest, TheLastLineOfAKind) {
  const auto metrics = directory_.path() / "metrics.jsonl";
  const auto step_of = [&](std::string_view kind) {
    return last_metrics_line(metrics, kind).value("step", Json());
  };
  directory_.write("metrics.jsonl", std::string(kStep1) + "\n" + kEval2 + "\n");
  EXPECT_EQ(step_of(""), 2);
  EXPECT_EQ(step_of("step"), 1);
  EXPECT_EQ(step_of("test"), Json());
  directory_.write("metrics.jsonl", std::string(kStep1) + "\n" + kStep2);  // not yet whole
  EXPECT_EQ(step_of(""), 1);
  directory_.write("metrics.jsonl", std::string(kStep1) + "\nnone\n");
  EXPECT_EQ(step_of(""), Json());
  EXPECT_EQ(step_of("step"), 1);
  directory_.write("metrics.jsonl", "\n\n");
  EXPECT_EQ(step_of(""), Json());
  EXPECT_EQ(last_metrics_line(directory_.path() / "nowhere"), Json::object());
}

TEST_F(ReadRunTest, CommandMayStandInTheSettings) {
  directory_.write("run.json",
                   R"({"format":1,"name":"a","settings":{"command":"gradstab train llm --lr 1"}})");
  EXPECT_EQ(read().value().command, "gradstab train llm --lr 1");
}

}  // namespace
}  // namespace gradstab::lab
