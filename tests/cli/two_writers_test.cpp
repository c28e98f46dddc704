// One process at a time writes a run. A second one is told who the first is, and changes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <sstream>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

const std::vector<std::string> kSettings = {"--steps", "60",   "--eval-every", "20", "--checkpoint-every",
                                            "5",       "--lr", "0.01"};
/// Enough for whatever a test does meanwhile.
const std::vector<std::string> kLong = {"--steps", "100000", "--eval-every", "100000", "--checkpoint-every",
                                        "5"};

class TwoWritersTest : public testing::Test {
 protected:
  std::vector<std::int64_t> recorded_steps(const std::string& run) const {
    std::vector<std::int64_t> steps;
    std::istringstream lines(read(folder_.path() / run / "metrics.jsonl"));
    for (std::string text; std::getline(lines, text);) {
      const auto line = nlohmann::json::parse(text);
      if (line.at("kind") == "step") steps.push_back(line.at("step"));
    }
    return steps;
  }
  std::size_t lines(const std::string& run) const {
    const std::string text = read(folder_.path() / run / "metrics.jsonl");
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  /// Every update once, in order.
  void expect_one_writer(const std::string& run, std::int64_t steps) const {
    std::vector<std::int64_t> expected;
    for (std::int64_t step = 1; step <= steps; ++step) expected.push_back(step);
    EXPECT_EQ(recorded_steps(run), expected);
  }
  /// The message that names `other`.
  static testing::Matcher<std::string> names(const std::string& run, pid_t other) {
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return ContainsRegex("gradstab: another process is at work in '" + run + "': process " +
                         std::to_string(other) + " on " + host.data() + ", since 20[0-9-]+ [0-9:]+ UTC\n$");
  }
  void start_and_stop(const std::string& run) const {
    Child child(Folder::train(run, kSettings), folder_.path());
    ASSERT_TRUE(wait_until([&] { return lines(run) >= 7; }));
    child.signal(SIGINT);
    ASSERT_EQ(child.wait().exit_code, 130);
  }

  const Folder folder_;
};

TEST_F(TwoWritersTest, ARunThatIsStillGoingCannotBeResumedOrReplaced) {
  Child first(Folder::train("run", kLong), folder_.path());
  ASSERT_TRUE(wait_until([&] { return lines("run") >= 7; }));
  const pid_t pid = first.pid();
  const Outcome resumed = folder_.run({"train", "llm", "--resume", "run"});
  EXPECT_EQ(resumed.exit_code, 1);
  EXPECT_THAT(resumed.err, names("run", pid));
  const Outcome replaced = folder_.run(Folder::train("run", {"--steps", "3", "--force"}));
  EXPECT_EQ(replaced.exit_code, 1);
  EXPECT_THAT(replaced.err, names("run", pid));
  const Outcome again = folder_.run(Folder::train("run", {"--steps", "3"}));
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, names("run", pid));

  ASSERT_TRUE(first.running());
  first.signal(SIGINT);
  ASSERT_EQ(first.wait().exit_code, 130);
  const auto steps = recorded_steps("run");
  expect_one_writer("run", static_cast<std::int64_t>(steps.size()));
}

TEST_F(TwoWritersTest, TwoResumptionsAtOnceAreOne) {
  start_and_stop("run");
  Child a({"train", "llm", "--resume", "run"}, folder_.path());
  Child b({"train", "llm", "--resume", "run"}, folder_.path());
  const Outcome first = a.wait();
  const Outcome second = b.wait();
  // One of them does it; the other is refused, or comes after it and has nothing to do.
  const bool a_did_it = first.out.find("result ") != std::string::npos;
  const Outcome& did_it = a_did_it ? first : second;
  const Outcome& other = a_did_it ? second : first;
  EXPECT_EQ(did_it.exit_code, 0) << did_it.err;
  EXPECT_THAT(did_it.out, HasSubstr("result "));
  EXPECT_THAT(other.out + other.err, testing::AnyOf(HasSubstr("another process is at work in 'run'"),
                                                    HasSubstr("has already finished")));
  EXPECT_EQ(other.out.find("result "), std::string::npos);
  expect_one_writer("run", 60);
}

TEST_F(TwoWritersTest, TheLockDiesWithItsProcess) {
  Child killed(Folder::train("run", kSettings), folder_.path());
  ASSERT_TRUE(wait_until([&] { return lines("run") >= 7; }));
  killed.signal(SIGKILL);
  ASSERT_EQ(killed.wait().exit_code, 128 + SIGKILL);
  // And with it what it had not written to the end.
  const auto left = folder_.path() / "run" / "checkpoint.gsck.tmp28310";
  write(left, "half a checkpoint");
  const Outcome resumed = folder_.run({"train", "llm", "--resume", "run"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_FALSE(std::filesystem::exists(left));
  expect_one_writer("run", 60);
}

TEST_F(TwoWritersTest, ASweepSaysWhoItIs) {
  const std::vector<std::string> sweep = {"sweep",     "llm",      "--over",     "seed=0..1",   "--output",
                                          "sweep",     "--data",   "corpus.txt", "--tokenizer", "bytes",
                                          "--context", "16",       "--batch",    "2",           "--steps",
                                          "100000",    "--warmup", "2"};
  Child first(sweep, folder_.path());
  ASSERT_TRUE(wait_until([&] { return lines("sweep/seed=0") >= 3; }));
  const Outcome second = folder_.run(sweep);
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err,
              AllOf(HasSubstr("a sweep is at work in 'sweep', or a run of one is still ending: process " +
                              std::to_string(first.pid()) + " on "),
                    HasSubstr(" UTC\n")));
  // Nor can one of its runs be taken from it.
  const Outcome run = folder_.run({"train", "llm", "--resume", "sweep/seed=0"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("another process is at work in 'sweep/seed=0': process "));
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().exit_code, 130);
}

TEST_F(TwoWritersTest, TheFolderOfARunIsNoSweep) {
  ASSERT_EQ(folder_.run(Folder::train("run", {"--steps", "3"})).exit_code, 0);
  const Outcome outcome =
      folder_.run({"sweep", "llm", "--over", "seed=0..1", "--output", "run", "--data", "corpus.txt"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("'run' exists and is not a sweep"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "run" / "sweep.json"));
}

}  // namespace
}  // namespace gradstab::testing_cli
