// gradstab replay of quantizers: every golden vector through the program, and recordings that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "golden/comparison.hpp"
#include "golden/fixture.hpp"
#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using fixture::difference;
using fixture::Values;
using nlohmann::json;
using ::testing::HasSubstr;

struct Replayed {
  std::string method;
  std::string name;
  bool wide;
};

std::vector<Replayed> all_cases() {
  std::vector<Replayed> list;
  for (const char* method : {"fp4_e1m2", "fp4_e2m1", "int4"}) {
    for (const std::string& name : fixture::case_names(method)) {
      for (const bool wide : {true, false}) list.push_back({method, name, wide});
    }
  }
  return list;
}

class ReplayQuantizerTest : public ::testing::TestWithParam<Replayed> {
 protected:
  const std::string suffix_ = GetParam().wide ? "64" : "32";

  /// The program's case, with these settings besides.
  json replayed(const std::vector<std::string>& settings) {
    std::vector<std::string> arguments = {
        "replay",
        "--input",
        std::string(GRADSTAB_GOLDEN_DATA) + "/" + GetParam().method + ".json",
        "--output",
        "out.json",
        "--case",
        GetParam().name,
        "--force",
        "--dtype",
        GetParam().wide ? "f64" : "f32"};
    for (const std::string& setting : settings) {
      arguments.emplace_back("--set");
      arguments.push_back(setting);
    }
    const Outcome outcome = folder_.run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    if (outcome.exit_code != 0) return json::object();
    return json::parse(read(folder_.path() / "out.json")).at("cases").at(0);
  }

  /// Where the program and the recording part. Each kind of result is compared with the recording in the same
  /// precision, or in the other one where only that was made.
  std::string first_difference(const json& got) const {
    std::string differs;
    std::size_t compared = 0;
    for (const char* stem : {"out", "scale", "y", "dx", "dw", "db"}) {
      const std::string other = GetParam().wide ? "32" : "64";
      const bool same = golden_.contains(stem + suffix_);
      if (!same && !golden_.contains(stem + other)) continue;
      if (!got.contains(stem + suffix_)) return std::string("no ") + stem + suffix_;
      // Sums of 256 products in another order than the authors'.
      const double narrow = std::string(stem) == "out" || std::string(stem) == "scale" ? 1e-6 : 4e-6;
      const bool exact = GetParam().wide && same;
      differs +=
          difference(fixture::to_values(got.at(stem + suffix_)),
                     fixture::to_values(golden_.at(stem + (same ? suffix_ : other))), exact ? 1e-12 : narrow);
      ++compared;
    }
    for (const char* key : {"code", "zero"}) {
      if (!golden_.contains(key)) continue;
      if (!got.contains(key)) return std::string("no ") + key;
      differs += difference(fixture::to_values(got.at(key)), fixture::to_values(golden_.at(key)), 0.0);
    }
    return compared == 0 ? "nothing to compare" : differs;
  }

  const json golden_ = fixture::load_plain_case(GetParam().method, GetParam().name);
  const Folder folder_;

 private:
  static std::string difference(const Values& got, const Values& expected, double tolerance) {
    return fixture::difference(std::span<const double>(got), std::span<const double>(expected), tolerance);
  }
};

std::string named(const ::testing::TestParamInfo<Replayed>& test) {
  std::string text = test.param.method + "_" + test.param.name + (test.param.wide ? "_f64" : "_f32");
  std::ranges::replace_if(
      text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return text;
}

TEST_P(ReplayQuantizerTest, TheReleasedFormIsTheRecording) {
  const json got = replayed({"compat=released"});
  EXPECT_EQ(first_difference(got), "");
  EXPECT_EQ(got.at("name"), GetParam().name);
  EXPECT_EQ(got.at("hyper"), golden_.at("hyper"));
  EXPECT_THAT(got.at("computed_with").get<std::string>(), HasSubstr("gradstab "));
  EXPECT_FALSE(got.contains(GetParam().wide ? "out32" : "out64"));
}

INSTANTIATE_TEST_SUITE_P(All, ReplayQuantizerTest, ::testing::ValuesIn(all_cases()), named);

/// The comparison above sees another setting, and that the authors' nine levels are not the whole grid.
class ReplayQuantizerControlTest : public ReplayQuantizerTest {};

TEST_P(ReplayQuantizerControlTest, AWrongSettingIsSeen) {
  EXPECT_NE(first_difference(replayed({"compat=released", "group=128"})), "");
  if (GetParam().name != "weight_asymmetric/normal") {
    EXPECT_NE(first_difference(replayed({"compat=released", "topk=1"})), "");
  }
  if (GetParam().name == "released/normal") {
    EXPECT_NE(first_difference(replayed({})), "");
  }
}

INSTANTIATE_TEST_SUITE_P(All, ReplayQuantizerControlTest,
                         ::testing::Values(Replayed{"fp4_e1m2", "released/normal", true},
                                           Replayed{"fp4_e1m2", "ideal_full_grid/normal", true},
                                           Replayed{"fp4_e1m2", "released/linear_forward_backward", false},
                                           Replayed{"fp4_e2m1", "absmax_group256/normal", false},
                                           Replayed{"int4", "weight_asymmetric/normal", false},
                                           Replayed{"int4", "activation_symmetric_stochastic/normal", true}),
                         named);

class ReplayQuantizerVerbTest : public ::testing::Test {
 protected:
  Outcome run(const std::string& rest, std::vector<std::string> more = {}) {
    write(folder_.path() / "in.json", R"({"format":1,"method":"int4","cases":[{"name":"c",)" + rest + "}]}");
    std::vector<std::string> arguments = {"replay", "--input", "in.json", "--output", "out.json", "--force"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    std::filesystem::remove(folder_.path() / "out.json");
    return folder_.run(arguments);
  }
  json result() const { return json::parse(read(folder_.path() / "out.json")).at("cases").at(0); }
  void expect_refused(const Outcome& outcome, int exit_code, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, exit_code) << text;
    EXPECT_THAT(outcome.err, HasSubstr("case 'c': " + text));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out.json"));
  }
  const Folder folder_;
};

TEST_F(ReplayQuantizerVerbTest, AnyMethodTakesTheSameInput) {
  const std::string input = R"("input":[7,-7,2.4,"nan"],"hyper":{"group":3})";
  ASSERT_EQ(run(input, {"--set", "operand=activation", "--set", "topk=0"}).exit_code, 0);
  EXPECT_EQ(result().at("out64"), json::parse(R"([7.0,-7.0,2.0,"nan"])"));
  EXPECT_EQ(result().at("code"), json::parse("[7,-7,2,0]"));
  EXPECT_EQ(result().at("scale64"), json::parse(R"([7.0,"nan"])"));
  EXPECT_FALSE(result().contains("zero"));
  ASSERT_EQ(run(input, {"--method", "fp4_e2m1", "--set", "scale=1", "--dtype", "f32"}).exit_code, 0);
  EXPECT_EQ(result().at("out32"), json::parse(R"([6.0,-6.0,2.0,"nan"])"));
  EXPECT_EQ(result().at("code"), json::parse("[7,15,4,0]"));
}

TEST_F(ReplayQuantizerVerbTest, NoiseIsRecordedOrDrawnFromTheSeed) {
  const std::string input =
      R"("input":[7,-7,2.5,2.5,2.5,2.5,2.5,2.5,2.5,2.5],"hyper":{"stochastic":true,"topk":0})";
  ASSERT_EQ(run(input + R"(,"uniform_noise":[0,0,0,0.9,0,0.9,0,0.9,0,0.9])").exit_code, 0);
  EXPECT_EQ(result().at("code"), json::parse("[7,-7,2,3,2,3,2,3,2,3]"));
  ASSERT_EQ(run(input).exit_code, 0);
  const json first = result().at("code");
  ASSERT_EQ(run(input, {"--set", "seed=1"}).exit_code, 0);
  EXPECT_NE(result().at("code"), first);
}

TEST_F(ReplayQuantizerVerbTest, ALayerOfInt4HasBothOperands) {
  const std::string layer =
      R"("hyper":{"group":2},"x":[7,0.3,-7,1.1],"weight":[15,6.6],"bias":[1],"grad_out":[1,2])";
  ASSERT_EQ(run(layer, {"--set", "topk=0"}).exit_code, 0);
  EXPECT_EQ(result().at("y64"), json::parse("[106.0,-97.0]"));
  EXPECT_EQ(result().at("dx64"), json::parse("[15.0,7.0,30.0,14.0]"));
  EXPECT_EQ(result().at("dw64"), json::parse("[-7.0,2.0]"));
  EXPECT_EQ(result().at("db64"), json::parse("[3.0]"));
}

TEST_F(ReplayQuantizerVerbTest, SaysWhatIsWrongWithTheCommand) {
  const std::string input = R"("input":[1,2,3])";
  expect_refused(run(input, {"--set", "gruop=2"}), 2,
                 "unknown setting 'gruop'; this method has: bits, compat, ");
  expect_refused(run(input, {"--set", "nonfinite=raise"}), 2, "unknown setting 'nonfinite'");
  expect_refused(run(input, {"--set", "group=0"}), 2, "group_size must be at least 1, got 0");
  expect_refused(run(input, {"--set", "group=big"}), 2, "setting group must be a whole number, got \"big\"");
  expect_refused(run(input, {"--set", "bits=8"}), 2, "setting bits must be 4 in this format, got 8");
  expect_refused(run(input, {"--set", "operand=bias"}), 2, "setting operand must be weight or activation");
  expect_refused(run(input, {"--set", "compat=old"}), 2, "setting compat must be robust or released");
  expect_refused(run(input, {"--set", "topk=2"}), 2, "keep_largest must be 0 for format int4_weight");
  expect_refused(run(input, {"--backend", "reference"}), 2, "quantizers have no backends, got 'reference'");
}

TEST_F(ReplayQuantizerVerbTest, SaysWhatIsWrongWithTheRecording) {
  const std::vector<std::string> released = {"--set", "compat=released"};
  expect_refused(run(R"("shape":[2])"), 1, "has neither 'input' nor the 'x' of a linear layer");
  expect_refused(run(R"("input":3)"), 1, "'input' must be a list");
  expect_refused(run(R"("input":[1,"x"])"), 1, "'input' holds \"x\", expected a number");
  expect_refused(run(R"("input":[1,2,3],"shape":[2,2])"), 1,
                 "'input' must be a list of 4 numbers as its shape [2, 2] says, got 3");
  expect_refused(run(R"("input":[1],"shape":[-1])"), 1, "'shape' holds -1, expected whole numbers");
  expect_refused(run(R"("input":[1],"shape":[1099511627776,1099511627776])"), 1,
                 "'shape' is [1099511627776,1099511627776], expected at most 2^40 elements");
  expect_refused(run(R"("input":[1],"shape":1)"), 1, "'shape' must be a list of whole numbers, got 1");
  expect_refused(run(R"("input":[1,2],"hyper":{"stochastic":true,"topk":0},"uniform_noise":[0.5])"), 1,
                 "'uniform_noise' must be a list of 2 numbers");
  expect_refused(run(R"("input":[1,2],"hyper":{"group":"x"})"), 1, "setting group must be a whole number");
  expect_refused(run(R"("input":[1,2],"hyper":{"bits":3})"), 1,
                 "setting bits must be 4 in this format, got 3");
  expect_refused(run(R"("input":[1,2],"hyper":{"grid":[0,1]})", {"--method", "fp4_e2m1"}), 1,
                 "setting grid must be [0.0,0.5,1.0,1.5,2.0,3.0,4.0,6.0], got [0,1]");
  expect_refused(run(R"("input":[1,2])", released), 1,
                 "got 2 values, expected under compat 'released' a multiple");
  const std::string layer = R"("x":[1,2],"weight":[1,2],"bias":[1],"grad_out":[1])";
  ASSERT_EQ(run(layer).exit_code, 0);
  expect_refused(run(R"("x":[1,2,3],"weight":[1,2],"bias":[1],"grad_out":[1])"), 1,
                 "'x' must be a list of 2 numbers");
  expect_refused(run(R"("x":[1,2],"weight":[1,2],"bias":[1])"), 1, "has no list 'grad_out'");
  expect_refused(run(R"("x":[1,2],"weight":[1,2],"bias":[],"grad_out":[1])"), 1,
                 "'bias' must be a list of at least");
  expect_refused(run(R"("x":[1,2],"weight":[1,2,3],"bias":[1,2],"grad_out":[1,2])"), 1,
                 "'weight' must be a list of a multiple of 2 numbers, one per output, got 3");
}

}  // namespace
}  // namespace gradstab::testing_cli
