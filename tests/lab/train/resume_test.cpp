// What a run must agree on with what it left behind.
#include "lab/train/resume.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/lab/llm_options.hpp"

namespace gradstab::lab {
namespace {

using ::testing::HasSubstr;

const Json kNow = {{"source", "b.txt, bytes"}, {"tokenizer", "bytes"},      {"vocab_size", 257},
                   {"train_tokens", 134920},   {"validation_tokens", 1500}, {"sha256", "aa"}};

std::string refused(const Json& began) {
  const Status status = check_same_data(began, kNow, "runs/x", {});
  EXPECT_EQ(status.code(), StatusCode::failed_precondition);
  return status.message();
}

TEST(CheckSameDataTest, OtherTokensAreRefusedByWhatDiffers) {
  Json began = kNow;
  began["source"] = "a.txt, bytes";
  EXPECT_TRUE(check_same_data(began, kNow, "runs/x", {}).ok()) << "the file may have moved";
  began["sha256"] = "bb";
  EXPECT_EQ(refused(began),
            "'runs/x' was trained on other data: its sha256 was \"bb\" and is \"aa\" now; a run must be "
            "resumed with the data that it began with");
  began["train_tokens"] = 218188;
  EXPECT_THAT(refused(began), HasSubstr("its train_tokens was 218188 and is 134920 now"));
}

TEST(CheckSameDataTest, OlderRunsAreComparedByTheirNumbersWithANote) {
  Json began = kNow;
  began.erase("sha256");
  std::vector<std::string> notes;
  const auto on_note = [&](const std::string& note) { notes.push_back(note); };
  EXPECT_TRUE(check_same_data(began, kNow, "runs/x", on_note).ok());
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("'runs/x' was begun by a version that did not record the SHA-256"));
  EXPECT_TRUE(check_same_data(kNow, kNow, "runs/x", on_note).ok());
  EXPECT_EQ(notes.size(), 1u) << "nothing to note where the sums agree";
  began["validation_tokens"] = 1;
  EXPECT_THAT(refused(began), HasSubstr("its validation_tokens was 1 and is 1500 now"));
}

TEST(CheckSameDataTest, TasksWithoutDataHaveNothingToCompare) {
  EXPECT_TRUE(check_same_data(nullptr, nullptr, "runs/x", {}).ok());
  EXPECT_TRUE(check_same_data(nullptr, kNow, "runs/x", {}).ok());
}

const TaskInfo kInfo = llm_kind().info();

Json header(const TrainOptions& options) {
  Progress progress;
  progress.step = 5;
  progress.samples = 640;
  progress.seconds = 1.5;
  return {{"progress", to_json(progress, kInfo)}, {"model", "m"}, {"settings", to_json(options)}};
}

TEST(ResumedProgressTest, ComesBackWithItsLossScale) {
  TrainOptions options = llm_options();
  EXPECT_EQ(
      resumed_progress(header(options), "c", options, kInfo, "m", options.steps).value().progress.samples,
      640);
  options.precision = "fp16";
  Json scaled = header(options);
  EXPECT_THAT(resumed_progress(scaled, "c", options, kInfo, "m", options.steps).status().message(),
              HasSubstr("checkpoint 'c': loss_scaler must be an object, got nothing"));
  scaled["loss_scaler"] = {{"scale", 32.0}, {"growth_count", 2}, {"skipped_steps", 1}};
  const auto resumed = resumed_progress(scaled, "c", options, kInfo, "m", options.steps).value();
  EXPECT_EQ(resumed.loss_scaler->scale(), 32.0f);
  EXPECT_EQ(resumed.loss_scaler->skipped_steps(), 1);
}

TEST(ResumedProgressTest, NumbersThatNoSuchRunHasAreRefused) {
  const TrainOptions options = llm_options();
  for (const auto& [key, value] : {std::pair<const char*, Json>("step", -1),
                                   {"step", options.steps + 1},
                                   {"tokens", -5},
                                   {"spikes", -1},
                                   {"seconds", "x"}}) {
    Json wrong = header(options);
    wrong["progress"][key] = value;
    EXPECT_THAT(resumed_progress(wrong, "c", options, kInfo, "m", options.steps).status().message(),
                HasSubstr(std::string("checkpoint 'c': progress.") + key + " must be"));
  }
  EXPECT_THAT(resumed_progress(header(options), "c", options, kInfo, "n", options.steps).status().message(),
              HasSubstr("is of another model: \"m\", expected \"n\""));
  Json other = header(options);
  other["settings"]["lr"] = 0.5;
  EXPECT_THAT(resumed_progress(other, "c", options, kInfo, "m", options.steps).status().message(),
              HasSubstr("has other settings: lr is 0.5, expected "));
  // And nothing else.
  other["settings"] = header(options)["settings"];
  other["settings"]["seed"] = 77;
  EXPECT_EQ(resumed_progress(other, "c", options, kInfo, "m", options.steps).status().message(),
            "checkpoint 'c' has other settings: seed is 77, expected 0");
}

}  // namespace
}  // namespace gradstab::lab
