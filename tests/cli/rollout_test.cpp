// gradstab rollout: the recorded roll-outs through the program, and a policy in a table, a page and a film.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/policy_checkpoint.hpp"
#include "lab/rl/recorded.hpp"
#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
namespace rl = lab::rl;

class RolloutTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto module = rl::mujoco_module();
    if (!module) GTEST_SKIP() << module.status().message();
    recorded_mujoco_ = (*module)->version() == rl::kRecordedMujoco;
  }
  void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                      const testing::Matcher<std::string>& message) {
    const Outcome outcome = folder_.run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, message);
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << "more than one line: " << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out.json"));
  }
  std::string at(const std::string& name) const { return folder_.path() / name; }
  /// A checkpoint of a policy for `environment`, as run `name` has it.
  std::string checkpoint(const std::string& environment, const std::string& name) {
    const auto made = rl::make_environment(environment);
    rl::PolicyCheckpoint stored(rl::swinging_policy((*made)->info()));
    std::filesystem::create_directories(at(name));
    lab::write_checkpoint(at(name) + "/checkpoint.gsck", stored.checkpoint()).check();
    return at(name) + "/checkpoint.gsck";
  }
  Folder folder_;
  bool recorded_mujoco_ = false;
};

TEST_F(RolloutTest, RecordedRolloutsComeOutAsTheyWentIn) {
  if (!recorded_mujoco_) GTEST_SKIP() << "another MuJoCo than that of the recordings";
  for (const auto& [file, name] : {std::pair("ant", "Ant-v4"), std::pair("hopper", "hopper")}) {
    const Outcome outcome = folder_.run(
        {"rollout", "--env", name, "--input", rl::recorded_file(file), "--output", "out.json", "--force"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const lab::Json recorded = rl::recorded_rollouts(file);
    const lab::Json ours = lab::parse_json_object(read(at("out.json")), "out.json").value();
    int compared = 0;
    EXPECT_EQ(rl::difference(ours, recorded, compared), "");
    EXPECT_EQ(rl::model_difference(ours, recorded), "");
    EXPECT_GT(compared, 140);
    lab::Json altered = recorded;
    altered["rollouts"][2]["steps"][20]["qpos"][1] =
        recorded["rollouts"][2]["steps"][20]["qpos"][1].get<double>() + 1e-6;
    EXPECT_NE(rl::difference(ours, altered, compared), "") << "the control";
  }
  EXPECT_FALSE(std::filesystem::exists(at("MUJOCO_LOG.TXT")));
}

TEST_F(RolloutTest, WrongInputIsOneLine) {
  const auto rollout = [&](const std::string& text, std::vector<std::string> more = {}) {
    write(at("in.json"), text);
    std::vector<std::string> arguments = {"rollout", "--input", "in.json", "--output", "out.json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const std::string good =
      R"({"env":"Hopper-v4","rollouts":[{"set_qpos":[0,1.25,0,0,0,0],"set_qvel":[0,0,0,0,0,0],"actions":[[0,0,0]]}]})";
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  expect_refused(rollout("no JSON"), 1, AllOf(HasSubstr("'in.json'"), HasSubstr("JSON")));
  expect_refused(rollout("[]"), 1, HasSubstr("'in.json'"));
  expect_refused(rollout(with("[0,0,0]]", "[0,NaN,0]]")), 1,
                 AllOf(HasSubstr("'in.json'"), HasSubstr("holds NaN at"), HasSubstr("not a JSON number")));
  expect_refused(rollout(with("[0,0,0]]", "[0,-Infinity,0]]")), 1, HasSubstr("holds Infinity at"));
  expect_refused(rollout(with("[[0,0,0]]", "[[0,null,0]]")), 1,
                 HasSubstr("'in.json': rollouts[0]: actions[0]: Hopper-v4: number 1 of the action is nan"));
  expect_refused(rollout(with("[[0,0,0]]", "[[0,0]]")), 1, HasSubstr("needs an action of 3 numbers, got 2"));
  expect_refused(rollout(with("\"env\"", "\"task\"")), 1, HasSubstr("'in.json': env"));
  expect_refused(rollout(with("Hopper-v4", "Hopper-v9")), 2,
                 AllOf(HasSubstr("unknown environment 'Hopper-v9'"), HasSubstr("'Hopper-v4'")));
  expect_refused(rollout(good, {"--env", "Walker"}), 2,
                 AllOf(HasSubstr("unknown environment 'Walker'"), HasSubstr("Walker2d-v4")));
  expect_refused(rollout(good, {"--env", "ant"}), 2,
                 HasSubstr("the roll-outs are of Hopper-v4, --env says Ant-v4"));
  expect_refused(rollout(good, {"--model", "none.xml"}), 1, HasSubstr("cannot open 'none.xml'"));
  write(at("model.xml"), "<mujoco/>");
  expect_refused(
      rollout(good, {"--model", "model.xml"}), 1,
      HasSubstr("model file 'model.xml': the model of Hopper-v4 is not the expected one: coordinates "
                "0, expected 6"));
  write(at("in.json"), good);
  expect_refused({"rollout", "--input", "in.json", "--output", "nowhere/out.json"}, 1,
                 AllOf(HasSubstr("--output 'nowhere/out.json' cannot be written: there is no folder"),
                       HasSubstr("nowhere'")));
  write(at("huge.json"), "{");
  std::filesystem::resize_file(at("huge.json"), std::uintmax_t{1} << 40);
  expect_refused({"rollout", "--input", "huge.json", "--output", "out.json"}, 1,
                 HasSubstr("at most 64.0 MiB"));
  expect_refused({"rollout"}, 2, HasSubstr("needs --input FILE with --output FILE, or --checkpoint FILE"));
  expect_refused({"rollout", "--input", "in.json"}, 2, HasSubstr("--input needs --output"));
  expect_refused({"rollout", "--input", "in.json", "--output", "out.json", "--video", "v"}, 2,
                 HasSubstr("need --checkpoint"));
}

TEST_F(RolloutTest, AnExistingFileStays) {
  write(at("out.json"), "mine");
  const Outcome outcome =
      folder_.run({"rollout", "--input", rl::recorded_file("hopper"), "--output", "out.json"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("'out.json' already exists"));
  EXPECT_EQ(read(at("out.json")), "mine");
}

TEST_F(RolloutTest, APolicyActsInATableAPageAndAFilm) {
  const std::string one = checkpoint("hopper", "one"), two = checkpoint("hopper", "two");
  const Outcome table = folder_.run({"rollout", "--checkpoint", one, "--episodes", "2", "--sample"});
  ASSERT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("policy"), HasSubstr("one"), HasSubstr("terminated")));
  EXPECT_EQ(folder_.run({"rollout", "--checkpoint", one, "--episodes", "2", "--sample"}).out, table.out);
  EXPECT_NE(folder_.run({"rollout", "--checkpoint", one, "--episodes", "2", "--sample", "--seed", "1"}).out,
            table.out);
  const Outcome page =
      folder_.run({"rollout", "--checkpoint", one, "--checkpoint", two, "--html", "page.html"});
  ASSERT_EQ(page.exit_code, 0) << page.err;
  EXPECT_THAT(read(at("page.html")),
              AllOf(HasSubstr("</span>one <"), HasSubstr("</span>two <"), HasSubstr("Hopper-v4")));
  const Outcome film = folder_.run(
      {"rollout", "--checkpoint", one, "--video", "film.webp", "--width", "160", "--height", "120"});
  if (film.exit_code == 1 && film.err.find("cannot make a film") != std::string::npos)
    GTEST_SKIP() << film.err;
  ASSERT_EQ(film.exit_code, 0) << film.err;
  EXPECT_EQ(read(at("film.webp")).substr(8, 8), "WEBPVP8X");
}

TEST_F(RolloutTest, WithoutGraphicsAFilmIsOneLineAndNoFile) {
  const std::string policy = checkpoint("hopper", "one");
  // EGL finds its drivers by this variable; a file that is not there is a machine that has none.
  ::setenv("__EGL_VENDOR_LIBRARY_FILENAMES", "/none.json", 1);
  const Outcome film = folder_.run({"rollout", "--checkpoint", policy, "--video", "film.webp"});
  ::unsetenv("__EGL_VENDOR_LIBRARY_FILENAMES");
  EXPECT_EQ(film.exit_code, 1);
  EXPECT_THAT(film.err, AllOf(HasSubstr("gradstab: cannot make a film: "),
                              testing::AnyOf(HasSubstr("no software GL"), HasSubstr("libwebp"))));
  EXPECT_EQ(film.err.find('\n'), film.err.size() - 1);
  EXPECT_FALSE(std::filesystem::exists(at("film.webp")));
}

TEST_F(RolloutTest, CheckpointsOfSomethingElseAreRefused) {
  const std::string ant = checkpoint("ant", "an-ant"), hopper = checkpoint("hopper", "a-hopper");
  expect_refused({"rollout", "--checkpoint", ant, "--env", "hopper"}, 2,
                 AllOf(HasSubstr("is a policy for Ant-v4, expected one for Hopper-v4"), HasSubstr("an-ant")));
  expect_refused({"rollout", "--checkpoint", ant, "--checkpoint", hopper}, 2,
                 HasSubstr("is a policy for Hopper-v4, expected one for Ant-v4"));
  write(at("no.gsck"), "no checkpoint");
  expect_refused({"rollout", "--checkpoint", "no.gsck"}, 1, HasSubstr("no.gsck"));
  lab::Checkpoint other{.header = {{"task", "llm"}}, .tensors = {}, .blobs = {}, .memory = {}};
  lab::write_checkpoint(at("llm.gsck"), other).check();
  expect_refused({"rollout", "--checkpoint", "llm.gsck"}, 2,
                 HasSubstr("is a checkpoint of the task 'llm', expected one of 'rl'"));
}

}  // namespace
}  // namespace gradstab::testing_cli
