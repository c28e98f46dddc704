#include "lab/reproduce/records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "test_records.hpp"
#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

Records two_runs() {
  ItemRun run = finished_run("clip", 1, 2.123456789, {{"lr", "0.003"}, {"precision", "fp4"}}, "long");
  run.options.lr = 0.003;
  run.options.precision = "fp4";
  run.options.transform = "clip";
  run.seconds = 12.34;
  run.weights_checksum = "0123abcd";
  run.evaluations = {{100, {2.5}}, {200, {2.123456789}}};
  run.training_loss = {5.54517, 2.25, std::numeric_limits<double>::quiet_NaN()};
  run.grad_norm = {1.23456789, std::numeric_limits<double>::infinity(), 1e-9};
  run.stabilized_norm = {1.0, 0.5, 0.25};
  ItemRun failed = finished_run("none", 0, 0.0);
  failed.state = "failed";
  failed.error = "update 3: a \"NaN\"\nin it";
  failed.score = std::numeric_limits<double>::quiet_NaN();
  return records_of({run, failed});
}

TEST(RecordsTest, ComeBackFromTheirFile) {
  const Records records = two_runs();
  const Records back = records_from_json_lines(to_json_lines(records)).value();
  EXPECT_EQ(back.item, "figure-1");
  EXPECT_EQ(back.scale, "cpu");
  EXPECT_EQ(back.environment, records.environment);
  EXPECT_EQ(back.data, records.data);
  ASSERT_EQ(back.runs.size(), 2u);
  const ItemRun& run = back.runs[0];
  EXPECT_EQ(run.name, records.runs[0].name);
  EXPECT_EQ(run.horizon, "long");
  EXPECT_EQ(run.arm, "clip");
  EXPECT_EQ(run.coordinates, records.runs[0].coordinates);
  EXPECT_EQ(run.seed, 1);
  EXPECT_EQ(to_json(run.options), to_json(records.runs[0].options));
  EXPECT_EQ(run.score, 2.12346);
  EXPECT_EQ(run.weights_checksum, "0123abcd");
  ASSERT_EQ(run.evaluations.size(), 2u);
  EXPECT_EQ(run.evaluations[1].step, 200);
  EXPECT_EQ(run.evaluations[1].score(), 2.12346);
  EXPECT_EQ(run.training_loss[0], 5.5452);
  EXPECT_TRUE(std::isnan(run.training_loss[2]));
  EXPECT_EQ(run.grad_norm[0], 1.235);
  EXPECT_TRUE(std::isnan(run.grad_norm[1]));
  EXPECT_EQ(run.grad_norm[2], 1e-9);
  EXPECT_EQ(back.runs[1].state, "failed");
  EXPECT_EQ(back.runs[1].error, records.runs[1].error);
  // Rounding again changes nothing.
  EXPECT_EQ(to_json_lines(back), to_json_lines(records));
}

std::string refused(const std::string& text) {
  const auto records = records_from_json_lines(text);
  return records ? "" : records.status().message();
}

TEST(RecordsTest, SayWhichLineIsWrong) {
  const std::string text = to_json_lines(two_runs());
  EXPECT_EQ(refused(text), "");
  EXPECT_EQ(refused(""), "no lines");
  EXPECT_THAT(refused("{}\n"), HasSubstr("line 1: expected the header of a reproduction, format 1 or 2"));
  EXPECT_THAT(refused(text.substr(0, text.size() - 30)), HasSubstr("line 3: expected a JSON object"));
  EXPECT_THAT(refused(text + "{\"run\":\"x\"}\n"), HasSubstr("line 4: part must be a text, got nothing"));
  std::string other = text;
  other.replace(other.find("\"format\":2"), 10, "\"format\":3");
  EXPECT_THAT(refused(other), HasSubstr("format 1"));
  std::string wrong = text;
  wrong.replace(wrong.find("\"lr\":0.003,"), 11, "\"lr\":-1.00,");
  EXPECT_THAT(refused(wrong), HasSubstr("line 2: lr must be finite and above 0"));
}

// Measures and charts go through the lists of a run together.
TEST(RecordsTest, ListsOfARunAreOfOneLength) {
  const auto refused_with = [](const char* key, const Json& list) {
    std::istringstream lines(to_json_lines(two_runs()));
    std::string header, run, other;
    std::getline(lines, header);
    std::getline(lines, run);
    std::getline(lines, other);
    Json json = Json::parse(run);
    json.at(Json::json_pointer(key)) = list;
    return refused(header + "\n" + json.dump() + "\n" + other + "\n");
  };
  EXPECT_EQ(refused_with("/grad_norm", {1.5, 2, 3}), "") << "the control";
  EXPECT_EQ(refused_with("/grad_norm", Json::array()),
            "line 2: grad_norm must be a list of 3 numbers, as many as training_loss, got []");
  EXPECT_EQ(refused_with("/stabilized_norm", {1, 2}),
            "line 2: stabilized_norm must be a list of 3 numbers, as many as training_loss, got [1,2]");
  EXPECT_THAT(refused_with("/training_loss", {1, 2, 3, 4}),
              HasSubstr("line 2: grad_norm must be a list of 4"));
  EXPECT_EQ(refused_with("/evaluations/validation_loss", {1}),
            "line 2: evaluations.validation_loss must be a list of 2 numbers, as many as evaluations.step, "
            "got [1]");
  EXPECT_EQ(
      refused_with("/evaluations/step", {1, 2, 3}),
      "line 2: evaluations.validation_loss must be a list of 3 numbers, as many as evaluations.step, got "
      "[2.5,2.12346]");
  EXPECT_EQ(refused_with("/state", "asleep"),
            "line 2: state must be \"finished\", \"failed\" or \"pending\", got \"asleep\"");
}

}  // namespace
}  // namespace gradstab::lab
