// An interrupted and resumed run leaves the weights, bit for bit, of one that was not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <set>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::HasSubstr;

const std::vector<std::string> kSettings = {"--steps", "40",   "--eval-every", "10", "--checkpoint-every",
                                            "5",       "--lr", "0.01"};

nlohmann::json summary(const Folder& folder, const std::string& run) {
  return nlohmann::json::parse(read(folder.path() / run / "summary.json"));
}

std::vector<nlohmann::json> metrics(const Folder& folder, const std::string& run) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read(folder.path() / run / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

std::size_t line_count(const Folder& folder, const std::string& run) {
  const std::string text = read(folder.path() / run / "metrics.jsonl");
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// Losses and norms of every line; times differ.
std::vector<nlohmann::json> without_times(std::vector<nlohmann::json> lines) {
  for (nlohmann::json& line : lines) {
    line.erase("seconds");
    line.erase("tokens_per_second");
  }
  return lines;
}

void expect_equal_runs(const Folder& folder, const std::string& a, const std::string& b) {
  const auto first = summary(folder, a);
  const auto second = summary(folder, b);
  EXPECT_EQ(first["weights_checksum"], second["weights_checksum"]);
  EXPECT_EQ(first["final_validation_loss"], second["final_validation_loss"]);
  EXPECT_EQ(first["spikes"], second["spikes"]);
  EXPECT_EQ(without_times(metrics(folder, a)), without_times(metrics(folder, b)));
}

class ResumeTest : public testing::Test {
 protected:
  void run_whole(const std::vector<std::string>& settings = kSettings) {
    const Outcome whole = folder_.run(Folder::train("whole", settings));
    ASSERT_EQ(whole.exit_code, 0) << whole.err;
  }
  Folder folder_;
};

TEST_F(ResumeTest, InterruptedRunResumesToTheSameWeights) {
  run_whole();
  Child child(Folder::train("stopped", kSettings), folder_.path());
  ASSERT_TRUE(wait_until([&] { return line_count(folder_, "stopped") >= 7; }));
  child.signal(SIGINT);
  const Outcome stopped = child.wait();
  ASSERT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_THAT(stopped.out, HasSubstr("continue with: gradstab train llm --resume stopped"));
  const auto interrupted = summary(folder_, "stopped");
  EXPECT_EQ(interrupted["state"], "interrupted");
  EXPECT_LT(interrupted["step"], 40);

  const Outcome resumed = folder_.run({"train", "llm", "--resume", "stopped"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_equal_runs(folder_, "whole", "stopped");
}

// The scale grows every third good update, so that a wrong count or scale after the resumption would show.
TEST_F(ResumeTest, InterruptedRunInHalfPrecisionResumesToTheSameWeights) {
  auto settings = kSettings;
  settings.insert(settings.end(), {"--precision", "fp16", "--loss-scale-init", "1e9",
                                   "--loss-scale-growth-interval", "3", "--transform", "clip+stabilize"});
  run_whole(settings);
  Child child(Folder::train("stopped", settings), folder_.path());
  ASSERT_TRUE(wait_until([&] { return line_count(folder_, "stopped") >= 7; }));
  child.signal(SIGKILL);
  ASSERT_EQ(child.wait().exit_code, 128 + SIGKILL);

  const Outcome resumed = folder_.run({"train", "llm", "--resume", "stopped"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_equal_runs(folder_, "whole", "stopped");
  const int skipped = summary(folder_, "whole")["skipped_steps"];
  EXPECT_EQ(summary(folder_, "stopped")["skipped_steps"], skipped);
  EXPECT_GT(skipped, 0);
  EXPECT_LT(skipped, 40);
}

// Random rounding goes on where it was: the second half of the run draws what it would have drawn.
TEST_F(ResumeTest, InterruptedRunWithStochasticRoundingResumesToTheSameWeights) {
  auto settings = kSettings;
  settings.insert(settings.end(), {"--precision", "fp4", "--quantization-rounding", "stochastic"});
  run_whole(settings);
  Child child(Folder::train("stopped", settings), folder_.path());
  ASSERT_TRUE(wait_until([&] { return line_count(folder_, "stopped") >= 7; }));
  child.signal(SIGINT);
  ASSERT_EQ(child.wait().exit_code, 130);
  const Outcome resumed = folder_.run({"train", "llm", "--resume", "stopped"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_equal_runs(folder_, "whole", "stopped");
}

TEST_F(ResumeTest, EachPrecisionGivesOtherWeights) {
  std::set<std::string> checksums;
  for (const char* precision : {"fp32", "bf16", "fp16", "fp4", "int4"}) {
    const Outcome outcome = folder_.run(Folder::train(precision, {"--steps", "3", "--precision", precision}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    checksums.insert(summary(folder_, precision)["weights_checksum"]);
    const bool simulated = std::string(precision).ends_with("f16") || std::string(precision).ends_with("p16");
    EXPECT_EQ(outcome.out.find("simulated") != std::string::npos, simulated);
  }
  EXPECT_EQ(checksums.size(), 5u);
}

TEST_F(ResumeTest, KilledRunResumesToTheSameWeights) {
  run_whole();
  Child child(Folder::train("killed", kSettings), folder_.path());
  ASSERT_TRUE(wait_until([&] { return line_count(folder_, "killed") >= 13; }));
  child.signal(SIGKILL);
  ASSERT_EQ(child.wait().exit_code, 128 + SIGKILL);
  // What a crash in the middle of a line leaves.
  const auto path = folder_.path() / "killed" / "metrics.jsonl";
  write(path, read(path) + "{\"kind\":\"st");

  const Outcome resumed = folder_.run({"train", "llm", "--resume", "killed"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_equal_runs(folder_, "whole", "killed");
}

TEST_F(ResumeTest, AnotherSeedGivesOtherWeights) {
  run_whole();
  auto arguments = Folder::train("other", kSettings);
  arguments.insert(arguments.end(), {"--seed", "1"});
  ASSERT_EQ(folder_.run(arguments).exit_code, 0);
  EXPECT_NE(summary(folder_, "whole")["weights_checksum"], summary(folder_, "other")["weights_checksum"]);
}

/// A run that was stopped, and the corpus that it read.
class ResumeDataTest : public ResumeTest {
 protected:
  ResumeDataTest() {
    Child child(Folder::train("stopped", kSettings), folder_.path());
    EXPECT_TRUE(wait_until([&] { return line_count(folder_, "stopped") >= 7; }));
    child.signal(SIGINT);
    EXPECT_EQ(child.wait().exit_code, 130);
  }
  Outcome resume() const { return folder_.run({"train", "llm", "--resume", "stopped"}); }

  const std::filesystem::path corpus_ = folder_.path() / "corpus.txt";
  const std::string text_ = read(corpus_);
};

TEST_F(ResumeDataTest, AnotherTextIsRefused) {
  const std::string before = read(folder_.path() / "stopped" / "metrics.jsonl");
  write(corpus_, text_ + "\n\nOne more document.\n");
  const Outcome longer = resume();
  EXPECT_EQ(longer.exit_code, 1);
  EXPECT_THAT(longer.err, HasSubstr("'stopped' was trained on other data: its train_tokens was"));
  // As long as before, and with the same number of tokens.
  std::string other = text_;
  const std::size_t letter = other.find_first_of("abcdefghijklm");
  ASSERT_NE(letter, std::string::npos);
  other[letter] = 'z';
  write(corpus_, other);
  const Outcome changed = resume();
  EXPECT_EQ(changed.exit_code, 1);
  EXPECT_THAT(changed.err, HasSubstr("'stopped' was trained on other data: its sha256 was"));
  EXPECT_EQ(read(folder_.path() / "stopped" / "metrics.jsonl"), before) << "nothing was written";
}

TEST_F(ResumeDataTest, TheSameTextUnderAnotherDateGoesOn) {
  run_whole();
  write(corpus_, text_);
  std::filesystem::last_write_time(corpus_, std::filesystem::file_time_type::clock::now());
  const Outcome resumed = resume();
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_equal_runs(folder_, "whole", "stopped");
}

TEST_F(ResumeDataTest, ARunThatIsOlderThanTheSumGoesOnWithAWarning) {
  const auto path = folder_.path() / "stopped" / "run.json";
  auto run = nlohmann::ordered_json::parse(read(path));
  ASSERT_EQ(run["data"]["sha256"].get<std::string>().size(), 64u);
  run["data"].erase("sha256");
  write(path, run.dump());
  const Outcome resumed = resume();
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.err,
              HasSubstr("warning: 'stopped' was begun by a version that did not record the SHA-256"));
}

TEST_F(ResumeTest, FinishedRunSaysSo) {
  run_whole({"--steps", "3"});
  const Outcome again = folder_.run({"train", "llm", "--resume", "whole"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_THAT(again.out, HasSubstr("already finished"));
}

TEST_F(ResumeTest, ResumeRefusesOtherSettings) {
  const Outcome refused = folder_.run({"train", "llm", "--resume", "whole", "--lr", "0.1"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--lr: cannot be given with --resume"));
}

}  // namespace
}  // namespace gradstab::testing_cli
