// gradstab replay: every golden vector through the program, and what it says of recordings that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

const std::filesystem::path kData = GRADSTAB_GOLDEN_DATA;

struct Replayed {
  std::string method;
  std::string name;
  bool wide;
};

const char* const kMethods[] = {"gradient_stabilizer",
                                "value_clip",
                                "norm_clip",
                                "agc",
                                "zclip",
                                "adagc",
                                "adam",
                                "adamw",
                                "amsgrad",
                                "sgd_momentum",
                                "lion",
                                "spam",
                                "stable_spam",
                                "adam_mini",
                                "gs_adamw",
                                "gs_lion",
                                "gs_sgd_momentum",
                                "gs_adamw_nan",
                                "gs_quadratic"};

void PrintTo(const Replayed& replayed, std::ostream* out) {
  *out << replayed.method << ", " << replayed.name;
}

std::vector<Replayed> all_cases() {
  std::vector<Replayed> list;
  for (const char* method : kMethods) {
    for (const std::string& name : fixture::case_names(method)) {
      for (const bool wide : {true, false}) list.push_back({method, name, wide});
    }
  }
  return list;
}

class ReplayTest : public ::testing::TestWithParam<Replayed> {
 protected:
  std::string suffix() const { return GetParam().wide ? "64" : "32"; }

  /// The program's steps, with these settings besides.
  json replayed(const std::vector<std::string>& settings) {
    std::vector<std::string> arguments = {"replay",        "--input",  kData / (GetParam().method + ".json"),
                                          "--output",      "out.json", "--case",
                                          GetParam().name, "--force"};
    // Of the one case that does not record it.
    if (GetParam().method == "gs_adamw_nan") arguments.insert(arguments.end(), {"--set", "weight_decay=0"});
    for (const std::string& setting : settings) {
      arguments.emplace_back("--set");
      arguments.push_back(setting);
    }
    if (!GetParam().wide) arguments.insert(arguments.end(), {"--dtype", "f32"});
    const Outcome outcome = folder_.run(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    if (outcome.exit_code != 0) return json::array();
    const json recording = json::parse(read(folder_.path() / "out.json"));
    return recording.at("cases").at(0).at("steps");
  }

  /// Where the program and the recording part; `state` too where both have it.
  std::string first_difference(const json& steps) const {
    if (steps.size() != golden_.steps.size()) return "number of steps";
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const fixture::Step& expected = golden_.steps[i];
      std::string differs;
      for (const auto& [stem, tolerance] :
           {std::pair("out", 4e-6), std::pair("param", 8e-6), std::pair("grad_after", 4e-6)}) {
        const std::string key = stem + suffix();
        if (!expected.has(key) || !steps[i].contains(key)) continue;
        differs += difference(tensors(steps[i].at(key)), expected.tensors(key), tolerance_of(tolerance));
      }
      if (expected.has("elem" + suffix())) {
        for (const auto& [name, values] : expected.data.at("elem" + suffix()).items())
          differs += difference(tensors(steps[i].at("elem" + suffix()).at(name)), tensors(values),
                                tolerance_of(8e-6));
      }
      differs += state_difference(steps[i], expected);
      if (!differs.empty()) return "step " + std::to_string(expected.t) + ": " + differs;
    }
    return "";
  }

  const fixture::Case golden_ = fixture::load_case(GetParam().method, GetParam().name);
  const Folder folder_;

 private:
  double tolerance_of(double narrow) const {
    if (golden_.dtype == "bfloat16") return 1.5e-2;
    return GetParam().wide ? 1e-12 : narrow;
  }

  static std::vector<Values> tensors(const json& list) {
    std::vector<Values> result;
    for (const json& tensor : list) result.push_back(fixture::to_values(tensor));
    return result;
  }

  std::string state_difference(const json& step, const fixture::Step& expected) const {
    const std::string key = "state" + suffix();
    if (!expected.has(key) || !step.contains(key)) return "";
    std::string differs;
    for (const auto& [name, value] : expected.data.at(key).items()) {
      if (!step.at(key).contains(name)) continue;
      // The recorded rho comes before the floor of epsilon under the raw norm.
      const bool floor_counts =
          golden_.name == "tiny_norms" || golden_.name == "float32_range_released_defect";
      if (name == "rho" && floor_counts) continue;
      const json& ours = step.at(key).at(name);
      if (value.is_null() != ours.is_null()) {
        differs += name + " is null on one side";
      } else if (!value.is_null()) {
        const auto list = [](const json& one) { return one.is_array() ? one : json::array({one}); };
        // Decisions are in double whatever the gradients are; the authors' float32 state wanders further.
        const double tolerance = GetParam().wide ? 1e-11 : golden_.dtype == "bfloat16" ? 1.5e-2 : 8e-6;
        const Values a = fixture::to_values(list(ours));
        const Values b = fixture::to_values(list(value));
        differs += difference(std::span<const double>(a), std::span<const double>(b), tolerance);
      }
    }
    return differs;
  }
};

/// The authors' behaviour, defects and all. The one thing that this library does not imitate is a norm that
/// leaves float32's range.
TEST_P(ReplayTest, TheReleasedFormIsTheRecording) {
  const bool beyond_float32 = GetParam().name == "float32_range_released_defect";
  // The float32 trajectory goes its own way from the spikes on; the float64 one is exact.
  const bool own_way = GetParam().method == "gs_quadratic" && !GetParam().wide;
  const bool no_wide_run = GetParam().method == "gs_adamw_nan" && GetParam().wide;
  const json steps = replayed({"compat=released"});
  if ((beyond_float32 && !GetParam().wide) || own_way || no_wide_run) {
    EXPECT_EQ(steps.size(), golden_.steps.size());
    return;
  }
  EXPECT_EQ(first_difference(steps), "");
}

INSTANTIATE_TEST_SUITE_P(All, ReplayTest, ::testing::ValuesIn(all_cases()), [](const auto& test) {
  std::string text = test.param.method + "_" + test.param.name + (test.param.wide ? "_f64" : "_f32");
  std::erase_if(text, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)) && c != '_'; });
  return text;
});

/// What is special about the robust form shows only where a gradient is not finite, or zero in statistics.
class RobustReplayTest : public ReplayTest {};

TEST_P(RobustReplayTest, DiffersFromTheRecordedDefect) {
  EXPECT_NE(first_difference(replayed({})), "");
  EXPECT_EQ(first_difference(replayed({"compat=released"})), "");
}

INSTANTIATE_TEST_SUITE_P(All, RobustReplayTest,
                         ::testing::Values(Replayed{"gs_adamw_nan", "released_defect", false},
                                           Replayed{"adagc", "zero_in_warmup", true},
                                           Replayed{"value_clip", "with_nonfinite", true}),
                         [](const auto& test) { return test.param.method; });

/// The comparison above sees a setting that is one per cent off.
class ReplayControlTest : public ReplayTest {};

TEST_P(ReplayControlTest, AWrongSettingIsSeen) {
  static const std::map<std::string, std::string> wrong = {{"gradient_stabilizer", "gamma1=0.606"},
                                                           {"value_clip", "clip_value=0.101"},
                                                           {"norm_clip", "max_norm=1.01"},
                                                           {"agc", "clip_factor=0.0101"},
                                                           {"zclip", "alpha=0.96"},
                                                           {"adagc", "beta=0.97"},
                                                           {"adamw", "beta2=0.99"},
                                                           {"stable_spam", "gamma3=0.99"},
                                                           {"gs_lion", "gamma2=0.99"}};
  EXPECT_NE(first_difference(replayed({"compat=released", wrong.at(GetParam().method)})), "");
}

INSTANTIATE_TEST_SUITE_P(
    All, ReplayControlTest,
    ::testing::Values(Replayed{"gradient_stabilizer", "released_default", true},
                      Replayed{"value_clip", "finite", true}, Replayed{"norm_clip", "default", true},
                      Replayed{"agc", "default", true}, Replayed{"zclip", "default_warm8", true},
                      Replayed{"adagc", "paper_v1", true}, Replayed{"adamw", "decoupled", true},
                      Replayed{"stable_spam", "default", true}, Replayed{"gs_lion", "released", true}),
    [](const auto& test) { return test.param.method; });

class ReplayVerbTest : public ::testing::Test {
 protected:
  Outcome run(const std::string& recording, std::vector<std::string> more = {}) {
    write(folder_.path() / "in.json", recording);
    std::vector<std::string> arguments = {"replay", "--input", "in.json", "--output", "out.json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return folder_.run(arguments);
  }
  /// One tensor [2], one step.
  static std::string recording(const std::string& gradient = "[1,2]", const std::string& rest = "") {
    return R"({"format":1,"method":"adam","cases":[{"name":"c","hyper":{"lr":0.1},)"
           R"("tensors":[{"name":"w","shape":[2],"init":[0,0]}],"steps":[{"t":1,"grad":[)" +
           gradient + "]}]" + rest + "}]}";
  }
  void expect_refused(const Outcome& outcome, int exit_code, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, exit_code);
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out.json"));
  }
  const Folder folder_;
};

TEST_F(ReplayVerbTest, WritesTheSameStructure) {
  ASSERT_EQ(run(recording(), {"--dtype", "f32"}).exit_code, 0);
  const json out = json::parse(read(folder_.path() / "out.json"));
  const json& step = out.at("cases").at(0).at("steps").at(0);
  EXPECT_EQ(out.at("format"), 1);
  EXPECT_EQ(step.at("grad"), json::parse("[[1,2]]"));
  EXPECT_FLOAT_EQ(step.at("param32").at(0).at(1).get<float>(), -0.1f);
  EXPECT_TRUE(step.at("elem32").contains("exp_avg_sq"));
  const Outcome again = run(recording());
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err,
              HasSubstr("'out.json' already exists; choose another --output, or replace it with --force"));
  EXPECT_EQ(run(recording(), {"--force"}).exit_code, 0);
}

TEST_F(ReplayVerbTest, OtherMethodsTakeTheSameGradients) {
  ASSERT_EQ(run(recording("[3,4]"), {"--method", "normalize"}).exit_code, 0);
  const json out = json::parse(read(folder_.path() / "out.json"));
  const json& values = out.at("cases").at(0).at("steps").at(0).at("out64").at(0);
  EXPECT_NEAR(values.at(0).get<double>(), 0.6, 1e-15);
  EXPECT_NEAR(values.at(1).get<double>(), 0.8, 1e-15);
}

TEST_F(ReplayVerbTest, TheResultSaysWithWhichSettingsItWasMade) {
  const std::vector<std::string> set = {"--set", "lr=0.5", "--set", "compat=released"};
  ASSERT_EQ(run(recording(), set).exit_code, 0);
  const std::string first = read(folder_.path() / "out.json");
  const json hyper = json::parse(first).at("cases").at(0).at("hyper");
  EXPECT_EQ(hyper.at("lr"), 0.5);
  EXPECT_EQ(hyper.at("compat"), "released");
  ASSERT_EQ(run(first, {"--force"}).exit_code, 0);
  EXPECT_EQ(read(folder_.path() / "out.json"), first) << "so it can be replayed itself";
  ASSERT_EQ(run(recording(), {"--force"}).exit_code, 0);
  EXPECT_NE(read(folder_.path() / "out.json"), first);
}

TEST_F(ReplayVerbTest, SaysWhatIsWrongWithTheCommand) {
  expect_refused(run(recording(), {"--method", "adamx"}), 2,
                 "unknown method 'adamx'; known are gradient_stab");
  expect_refused(run(recording(), {"--set", "lr"}), 2, "--set must be KEY=VALUE, got 'lr'");
  expect_refused(run(recording(), {"--set", "rate=1"}), 2, "unknown setting 'rate'; this method has: ");
  expect_refused(run(recording(), {"--set", "lr=fast"}), 2, "setting lr must be a number, got \"fast\"");
  expect_refused(run(recording(), {"--set", "lr=-1"}), 2, "lr must be");
  expect_refused(run(recording(), {"--set", "compat=old"}), 2,
                 "compat must be robust or released, got 'old'");
  expect_refused(run(recording(), {"--set", "nonfinite=stop"}), 2, "skip_tensor, skip_step, raise or");
  expect_refused(run(recording(), {"--case", "d"}), 2, "has no case 'd'");
  expect_refused(run(recording(), {"--backend", "abacus"}), 2, "abacus");
  expect_refused(run(recording(), {"--dtype", "f16"}), 2, "f16");
  expect_refused(folder_.run({"replay", "--input", "none.json", "--output", "out.json"}), 1, "'none.json'");
}

TEST_F(ReplayVerbTest, SaysWhatIsWrongWithTheRecording) {
  expect_refused(run("{"), 1, "'in.json': expected JSON, but it does not parse from column 2 on");
  expect_refused(run("[]"), 1, "must be a JSON object with \"format\": 1");
  expect_refused(run(R"({"format":2})"), 1, "\"format\": 1");
  expect_refused(run(R"({"format":1})"), 1, "has no list 'cases'");
  expect_refused(run(R"({"format":1,"method":"adam","cases":[7]})"), 1,
                 "each of the 'cases' must be a JSON object");
  expect_refused(run(R"({"format":1,"method":"adam","cases":[{"name":"c"}]})"), 1,
                 "'c': has no list 'tensors'");
  expect_refused(run(recording("[1]")), 1, "'grad' of step 1 of tensor 'w' must be a list of 2 numbers");
  expect_refused(run(recording("[1,\"x\"]")), 1, "holds \"x\", expected a number");
  expect_refused(run(recording("[1,2],[3]")), 1, "must be a list of 1 tensors");
  expect_refused(run(recording("[1,\"nan\"]"), {"--set", "nonfinite=raise"}), 1,
                 "step 1: gradient holds NaN");
}

}  // namespace
}  // namespace gradstab::testing_cli
