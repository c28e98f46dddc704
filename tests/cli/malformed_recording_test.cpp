// gradstab replay of recordings with the wrong kind of JSON anywhere: one line that names the case and what
// was expected, and exit code 1.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using ::testing::HasSubstr;

struct Malformed {
  const char* name;
  const char* part;  ///< of a good recording, all of whose parts are in kGood
  const char* replacement;
  const char* message;
  const char* method = "adam";
};

const char* const kGood =
    R"({"format":1,"method":"adam","cases":[{"name":"c","hyper":{"lr":0.1},)"
    R"("tensors":[{"name":"w","shape":[2],"init":[0,0]}],"steps":[{"t":1,"grad":[[1,2]]}]}]})";

const Malformed kMalformed[] = {
    {"Format", "\"format\":1", "\"format\":[1]", "must be a JSON object with \"format\": 1"},
    {"Method", "\"adam\"", "7", "'method' of the recording must be a word, got 7", ""},
    {"CasesObject", "[{\"name\":\"c\"", "{},\"was\":[{\"name\":\"c\"", "has no list 'cases'"},
    {"CaseName", "\"c\"", "[1]", "'name' of a case must be a text, got [1]"},
    {"HyperList", "{\"lr\":0.1}", "[0.1]", "case 'c': 'hyper' must be an object, got [0.1]"},
    {"HyperNull", "{\"lr\":0.1}", "null", "case 'c': 'hyper' must be an object, got null"},
    {"SettingText", "{\"lr\":0.1}", "{\"lr\":\"x\"}", "case 'c': setting lr must be a number, got \"x\""},
    {"SettingObject", "{\"lr\":0.1}", "{\"lr\":{}}", "case 'c': setting lr must be a number, got {}"},
    {"CompatNumber", "{\"lr\":0.1}", "{\"compat\":1}", "case 'c': setting compat must be a word, got 1"},
    {"TensorsNumber", "[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}]", "1",
     "case 'c': has no list 'tensors'"},
    {"TensorNumber", "{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}", "1",
     "case 'c': a tensor needs 'name' and"},
    {"TensorNameNumber", "\"w\"", "1", "case 'c': a tensor needs 'name' and 'shape'"},
    {"TensorNameEmpty", "\"w\"", "\"\"", "case 'c': parameter 0 has an empty name"},
    {"ShapeMissing", "\"shape\":[2],", "", "case 'c': a tensor needs 'name' and 'shape'"},
    {"ShapeNumber", "[2]", "2", "case 'c': shape of tensor 'w' must be a list of whole numbers, got 2"},
    {"ShapeNegative", "[2]", "[-2]", "case 'c': shape of tensor 'w' holds -2, expected whole numbers"},
    {"ShapeFraction", "[2]", "[2.0]", "case 'c': shape of tensor 'w' holds 2.0, expected whole numbers"},
    {"ShapeHuge", "[2]", "[18446744073709551615]",
     "case 'c': shape of tensor 'w' is [18446744073709551615], exp"},
    {"ShapeProductHuge", "[2]", "[1000000,0,1000000,1000000]", "expected at most 2^40 elements"},
    {"ShapeLarge", "[2],\"init\":[0,0]", "[1099511627776]",
     "case 'c': 'grad' of step 1 of tensor 'w' must be a list of 1099511627776 numbers", "spike_aware_clip"},
    {"InitObject", "[0,0]", "{}", "case 'c': 'init' of tensor 'w' must be a list of 2 numbers"},
    {"InitText", "[0,0]", "[0,\"zero\"]", "case 'c': 'init' of tensor 'w' holds \"zero\", expected a number"},
    {"InitMissing", ",\"init\":[0,0]", "", "case 'c': method 'adam' needs 'init' of every tensor"},
    {"StepsNumber", "[{\"t\":1,\"grad\":[[1,2]]}]", "3",
     "case 'c': has no list 'steps' of at least one step"},
    {"StepsEmpty", "[{\"t\":1,\"grad\":[[1,2]]}]", "[]",
     "case 'c': has no list 'steps' of at least one step"},
    {"StepNumber", "{\"t\":1,\"grad\":[[1,2]]}", "3", "case 'c': a step is 3, expected an object"},
    {"TMissing", "\"t\":1,", "", "case 'c': 't' of a step must be a whole number from 1, got null"},
    {"TText", "\"t\":1", "\"t\":\"1\"", "case 'c': 't' of a step must be a whole number from 1, got \"1\""},
    {"TZero", "\"t\":1", "\"t\":0", "case 'c': 't' of a step must be a whole number from 1, got 0"},
    {"TNegative", "\"t\":1", "\"t\":-4", "case 'c': 't' of a step must be a whole number from 1, got -4"},
    {"THuge", "\"t\":1", "\"t\":18446744073709551615",
     "must be a whole number from 1, got 18446744073709551615"},
    {"GradNumber", "[[1,2]]", "1", "case 'c': 'grad' of step 1 must be a list of 1 tensors"},
    {"GradFlat", "[[1,2]]", "[1]", "case 'c': 'grad' of step 1 of tensor 'w' must be a list of 2 numbers"},
    {"GradMissing", ",\"grad\":[[1,2]]", "", "case 'c': 'grad' of step 1 must be a list of 1 tensors"},
    {"GradNull", "[[1,2]]", "[[1,null]]",
     "case 'c': 'grad' of step 1 of tensor 'w' holds null, expected a number"},
    {"GradLongText", "[[1,2]]",
     "[[1,\"0123456789012345678901234567890123456789012345678901234567890123456789\"]]",
     "holds \"01234567890123456789012345678901234567890123456789012345678..., expected a number"},
    {"X0Text", "{\"lr\":0.1},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}]",
     "{\"x0\":\"a\"},\"tensors\":[{\"name\":\"w\",\"shape\":[2]}]",
     "case 'c': 'x0' of tensor 'w' must be a list of 2 numbers"},
    {"CurvatureNumber",
     "{\"lr\":0.1},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}],\"steps\":[{\"t\":1,\"grad\":["
     "[1,2]]}]",
     "{\"curvature\":1},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}],\"steps\":[{\"t\":1}]",
     "case 'c': 'curvature' of tensor 'w' must be a list of 2 numbers"},
    {"MultipliersList",
     "{\"lr\":0.1},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}],\"steps\":[{\"t\":1,\"grad\":["
     "[1,2]]}]",
     "{\"curvature\":[1,1],\"target\":[1,1],\"multipliers\":[3]},\"tensors\":[{\"name\":\"w\",\"shape\":[2],"
     "\"init\":[0,0]}],\"steps\":[{\"t\":1}]",
     "case 'c': 'multipliers' must be an object of numbers, got [3]"},
    {"MultiplierText",
     "{\"lr\":0.1},\"tensors\":[{\"name\":\"w\",\"shape\":[2],\"init\":[0,0]}],\"steps\":[{\"t\":1,\"grad\":["
     "[1,2]]}]",
     "{\"curvature\":[1,1],\"target\":[1,1],\"multipliers\":{\"1\":\"x\"}},\"tensors\":[{\"name\":\"w\","
     "\"shape\":[2],\"init\":[0,0]}],\"steps\":[{\"t\":1}]",
     "case 'c': multiplier of step 1 must be a number, got \"x\""},
};

class MalformedRecordingTest : public ::testing::TestWithParam<Malformed> {
 protected:
  Outcome replay(const std::string& recording) {
    write(folder_.path() / "in.json", recording);
    std::vector<std::string> arguments = {"replay", "--input", "in.json", "--output", "out.json"};
    if (*GetParam().method != '\0') arguments.insert(arguments.end(), {"--method", GetParam().method});
    return folder_.run(arguments);
  }
  const Folder folder_;
};

TEST_P(MalformedRecordingTest, IsRefusedInOneLine) {
  std::string recording = kGood;
  const std::size_t at = recording.find(GetParam().part);
  ASSERT_NE(at, std::string::npos);
  recording.replace(at, std::string(GetParam().part).size(), GetParam().replacement);
  const Outcome outcome = replay(recording);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(GetParam().message));
  EXPECT_EQ(outcome.err.rfind("gradstab: 'in.json': ", 0), 0u) << outcome.err;
  EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "out.json"));
}

INSTANTIATE_TEST_SUITE_P(All, MalformedRecordingTest, ::testing::ValuesIn(kMalformed),
                         [](const auto& test) { return std::string(test.param.name); });

/// The control: what they were made from is taken.
class WellFormedRecordingTest : public MalformedRecordingTest {};

TEST_P(WellFormedRecordingTest, IsReplayed) {
  const Outcome outcome = replay(kGood);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "out.json"));
}

INSTANTIATE_TEST_SUITE_P(All, WellFormedRecordingTest,
                         ::testing::Values(Malformed{"AsNamed", "", "", "", ""},
                                           Malformed{"Adam", "", "", ""},
                                           Malformed{"SpikeAwareClip", "", "", "", "spike_aware_clip"}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gradstab::testing_cli
