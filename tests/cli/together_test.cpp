// One run trained by several processes: the same as by one, and what becomes of it when one of them ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using Words = std::vector<std::string>;

/// The processes of a run, as torchrun starts them.
class Together {
 public:
  /// `words` of each of them.
  Together(const Folder& folder, const std::vector<Words>& words) {
    // Tests that run at the same time have other ports; 1 is added to it.
    static int calls = 0;
    const std::string port = std::to_string(33000 + (getpid() * 7 + ++calls) % 27000);
    for (std::size_t rank = 0; rank < words.size(); ++rank) {
      Surroundings around;
      around.variables = {{"RANK", std::to_string(rank)},
                          {"WORLD_SIZE", std::to_string(words.size())},
                          {"LOCAL_WORLD_SIZE", std::to_string(words.size())},
                          {"MASTER_ADDR", "127.0.0.1"},
                          {"MASTER_PORT", port}};
      children_.push_back(std::make_unique<Child>(words[rank], folder.path(), around));
    }
  }
  Together(const Folder& folder, std::size_t size, const Words& words)
      : Together(folder, std::vector<Words>(size, words)) {}

  Child& operator[](std::size_t rank) { return *children_[rank]; }
  std::vector<Outcome> wait() {
    std::vector<Outcome> outcomes;
    for (const auto& child : children_) outcomes.push_back(child->wait());
    return outcomes;
  }

 private:
  std::vector<std::unique_ptr<Child>> children_;
};

std::vector<json> lines_of(const std::filesystem::path& file) {
  std::vector<json> lines;
  std::istringstream text(read(file));
  for (std::string line; std::getline(text, line);)
    if (!line.empty() && line.back() == '}') lines.push_back(json::parse(line));
  return lines;
}

class TogetherTest : public testing::Test {
 protected:
  void SetUp() override {
    Together two(folder_, 2, Folder::train("try", {"--steps", "1", "--accumulation", "2"}));
    if (two.wait().front().err.find("built without Gloo") != std::string::npos)
      GTEST_SKIP() << "built without Gloo";
  }

  std::vector<json> metrics(const std::string& run) const {
    return lines_of(folder_.path() / run / "metrics.jsonl");
  }

  /// The losses, norms and evaluations of two runs, in relative terms.
  double distance(const std::string& a, const std::string& b) const {
    const auto first = metrics(a), second = metrics(b);
    EXPECT_EQ(first.size(), second.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < std::min(first.size(), second.size()); ++i)
      for (const auto& [key, value] : first[i].items()) {
        if (!value.is_number_float() || key == "seconds" || key.find("per_second") != std::string::npos)
          continue;
        const double x = value.get<double>(), y = second[i].at(key).get<double>();
        largest = std::max(largest, std::abs(x - y) / std::max(std::abs(x), 1e-6));
      }
    return largest;
  }

  const Folder folder_;
};

const Words kSettings = {"--steps", "12",   "--accumulation", "4",           "--eval-every",
                         "4",       "--lr", "0.003",          "--transform", "stabilize"};

// Sums over processes have another order: a few units in the last place of float32, which twelve steps of
// AdamW carry on.
constexpr double kTolerance = 1e-5;

TEST_F(TogetherTest, AnyNumberOfProcessesTrainsTheSame) {
  ASSERT_EQ(folder_.run(Folder::train("one", kSettings)).exit_code, 0);
  for (const std::size_t size : {2U, 3U, 4U}) {
    const std::string run = "of" + std::to_string(size);
    const auto outcomes = Together(folder_, size, Folder::train(run, kSettings)).wait();
    for (std::size_t rank = 0; rank < size; ++rank) {
      EXPECT_EQ(outcomes[rank].exit_code, 0) << outcomes[rank].err;
      if (rank == 0) continue;
      EXPECT_EQ(outcomes[rank].out, "") << "only the first one talks";
      EXPECT_EQ(outcomes[rank].err, "");
    }
    EXPECT_THAT(outcomes[0].out, HasSubstr("together " + std::to_string(size) + " processes, by torchrun\n"));
    EXPECT_LE(distance("one", run), kTolerance) << run;
  }
  // The control: another batch of the same size.
  ASSERT_EQ(folder_
                .run(Folder::train("other", {"--steps", "12", "--accumulation", "4", "--eval-every", "4",
                                             "--lr", "0.003", "--transform", "stabilize", "--seed", "1"}))
                .exit_code,
            0);
  EXPECT_GT(distance("one", "other"), 100 * kTolerance);
}

TEST_F(TogetherTest, StoppedTheyGoOnInAnotherNumber) {
  const Words settings = {"--steps",      "60",       "--accumulation",     "4",
                          "--eval-every", "20",       "--checkpoint-every", "1000",
                          "--transform",  "stabilize"};
  ASSERT_EQ(folder_.run(Folder::train("one", settings)).exit_code, 0);
  {
    Together four(folder_, 4, Folder::train("run", settings));
    ASSERT_TRUE(wait_until([&] { return metrics("run").size() >= 7; }));
    four[2].signal(SIGINT);  // one is enough
    for (const Outcome& outcome : four.wait()) EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  }
  const std::size_t before = metrics("run").size();
  {
    Together two(folder_, 2, {"train", "llm", "--resume", "run"});
    ASSERT_TRUE(wait_until([&] { return metrics("run").size() >= before + 5; }));
    two[0].signal(SIGTERM);
    for (const Outcome& outcome : two.wait()) EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  }
  for (const Outcome& outcome : Together(folder_, 3, {"train", "llm", "--resume", "run"}).wait())
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_LE(distance("one", "run"), kTolerance);
  // What has finished has nothing to resume.
  for (const Outcome& outcome : Together(folder_, 2, {"train", "llm", "--resume", "run"}).wait())
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(TogetherTest, OneThatIsKilledEndsTheOthersAndLosesNothing) {
  const Words settings = {"--steps",           "100000", "--accumulation",     "3",
                          "--eval-every",      "100000", "--checkpoint-every", "2",
                          "--process-timeout", "20"};
  for (const std::size_t killed : {0U, 2U}) {
    const std::string run = "killed" + std::to_string(killed);
    Together three(folder_, 3, Folder::train(run, settings));
    ASSERT_TRUE(wait_until([&] { return metrics(run).size() >= 8; }));
    three[killed].signal(SIGKILL);
    const auto outcomes = three.wait();
    for (std::size_t rank = 0; rank < 3; ++rank) {
      if (rank == killed) continue;
      EXPECT_EQ(outcomes[rank].exit_code, 1);
      EXPECT_THAT(outcomes[rank].err,
                  AllOf(HasSubstr("gradstab: update "),
                        HasSubstr("process " + std::to_string(rank) + " of 3 has lost another one: ")));
    }
    // Its checkpoint is whole.
    Together two(folder_, 2, {"train", "llm", "--resume", run});
    const std::size_t before = metrics(run).size();
    ASSERT_TRUE(wait_until([&] { return metrics(run).size() >= before + 2; }));
    two[1].signal(SIGINT);
    for (const Outcome& outcome : two.wait()) EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  }
}

TEST_F(TogetherTest, WhatDiffersIsNamedBeforeAnythingIsWritten) {
  write(folder_.path() / "other.txt", read(folder_.path() / "corpus.txt") + "one more\n");
  const Words words = Folder::train("run", kSettings);
  const auto with = [&](const std::string& flag, const std::string& value) {
    Words changed = words;
    const auto place = std::ranges::find(changed, flag);
    if (place != changed.end())
      *(place + 1) = value;
    else
      changed.insert(changed.end(), {flag, value});
    return changed;
  };
  const auto refused = [&](const Words& second, const std::string& message) {
    const auto outcomes = Together(folder_, {words, second}).wait();
    for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.exit_code, 1) << outcome.out;
    EXPECT_THAT(outcomes[0].err, HasSubstr(message));
    EXPECT_EQ(outcomes[1].err, "") << "said once";
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "run"));
  };
  refused(with("--lr", "0.004"),
          "gradstab: process 1 of 2 trains something else than the first one: settings: lr is 0.004, "
          "expected 0.003");
  refused(with("--data", "other.txt"), "sha256 is ");
  refused(with("--layers", "3"), "settings: layers is 3, expected ");
}

TEST_F(TogetherTest, WhatCannotBeSharedIsRefused) {
  const auto outcomes =
      Together(folder_, 3, Folder::train("run", {"--steps", "3", "--accumulation", "2"})).wait();
  EXPECT_EQ(outcomes[0].exit_code, 2);
  EXPECT_THAT(
      outcomes[0].err,
      HasSubstr(
          "accumulation must be at least 3, so that each process has a micro-batch of an update, got 2"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "run"));
  // An error of one, such as a file that only it lacks, is that of all.
  auto there = Folder::train("run", kSettings), missing = there;
  *std::ranges::find(missing, "corpus.txt") = "nowhere.txt";
  const auto of_one = Together(folder_, {there, missing}).wait();
  EXPECT_NE(of_one[0].exit_code, 0);
  EXPECT_THAT(of_one[0].err, HasSubstr("nowhere.txt"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "run"));
}

}  // namespace
}  // namespace gradstab::testing_cli
