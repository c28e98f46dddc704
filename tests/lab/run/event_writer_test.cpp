// Event files that a run writes, as the reader of gradstab inspect finds them.
#include "lab/run/event_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "expect_events.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/support/event_format.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Json step_line(std::int64_t step, double loss) {
  return {{"kind", "step"},
          {"step", step},
          {"loss", loss},
          {"lr", 0.5},
          {"seconds", 0.25},
          {"grad_norm", 8.0},
          {"stabilized_norm", 2.0},
          {"spikes", 1},
          {"nonfinite", 0},
          {"raw_norm", {{"min", 0.5}, {"median", 1.0}, {"max", 3.0}, {"max_name", "head"}}},
          {"transformed_norm", {{"min", 0.5}, {"median", 1.0}, {"max", 3.0}, {"max_name", nullptr}}}};
}

TEST(ScalarsTest, AreEveryNumberOfALine) {
  std::map<std::string, double> found;
  Json line = step_line(3, 2.5);
  line["loss_scale"] = 1024.0;
  line["step_skipped"] = true;
  line["injected"] = "nan";
  for (const Scalar& scalar : scalars_of(line)) found[scalar.tag] = scalar.value;
  EXPECT_EQ(found.size(), 17u) << "neither kind, nor step, nor a name";
  EXPECT_EQ(found.at("train/loss"), 2.5);
  EXPECT_EQ(found.at("train/factor"), 0.25);
  EXPECT_EQ(found.at("train/raw_norm/max"), 3.0);
  EXPECT_EQ(found.at("train/step_skipped"), 1.0);
  EXPECT_TRUE(std::isnan(found.at("train/injected")));
  const auto evaluation = scalars_of({{"kind", "eval"}, {"step", 3}, {"validation_loss", nullptr}});
  ASSERT_EQ(evaluation.size(), 1u);
  EXPECT_EQ(evaluation[0].tag, "eval/validation_loss");
  EXPECT_TRUE(std::isnan(evaluation[0].value));
}

TEST(EventWriterTest, ItsFilesHaveTheBytesOfTheFormat) {
  const TestFolder folder;
  auto writer = EventWriter::create(folder.path(), 7);
  ASSERT_TRUE(writer.ok()) << writer.status().message();
  constexpr double kBeyond = 1e300;
  ASSERT_TRUE(writer->write(9, {{"a", 0.1}, {"b", kBeyond}}).ok());
  EXPECT_THAT(writer->path().filename().string(),
              ::testing::MatchesRegex("events\\.out\\.tfevents\\.[0-9]{10}\\.gradstab"));
  std::ifstream file(writer->path(), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::string> payloads;
  for (std::size_t at = 0; at < bytes.size();) {
    const auto length = event_format::length_in(std::string_view(bytes).substr(at, 12));
    ASSERT_TRUE(length.has_value());
    payloads.push_back(bytes.substr(at + 12, *length));
    at += 12 + *length + 4;
  }
  // Without the time, nine bytes at the front.
  ASSERT_EQ(payloads.size(), 3u);
  for (std::string& payload : payloads) payload.erase(0, 9);
  EXPECT_EQ(payloads[0], std::string("\x10\x00\x1a\x0d"
                                     "brain.Event:2",
                                     17));
  EXPECT_EQ(payloads[1], "\x10\x07\x3a\x02\x08\x01") << "SessionLog with status START";
  EXPECT_EQ(payloads[2], std::string("\x10\x09\x2a\x14\x0a\x08\x0a\x01"
                                     "a\x15\xcd\xcc\xcc\x3d\x0a\x08\x0a\x01"
                                     "b\x15\x00\x00\x80\x7f",
                                     24))
      << "0.1 as f32, and what is beyond f32 as infinity";
}

TEST(EventWriterTest, NamesAreInTheOrderInWhichFilesWereBegun) {
  const TestFolder folder;
  folder.make("events.out.tfevents.9999999990.gradstab");  // a clock that was set back since
  folder.make("events.out.tfevents.99999999999.host");     // of another program
  std::string last = "events.out.tfevents.9999999990.gradstab";
  for (int i = 0; i < 3; ++i) {
    auto writer = EventWriter::create(folder.path(), {});
    ASSERT_TRUE(writer.ok()) << writer.status().message();
    EXPECT_GT(writer->path().filename().string(), last);
    last = writer->path().filename().string();
  }
  EXPECT_TRUE(is_own_event_file(last));
  for (const char* name : {"events.out.tfevents.1.host", "events.out.tfevents..gradstab",
                           "events.out.tfevents.x.gradstab", "metrics.jsonl"})
    EXPECT_FALSE(is_own_event_file(name)) << name;
}

class RunWithEventsTest : public ::testing::Test {
 protected:
  RunDirectory begin(bool force = false) {
    auto run = RunDirectory::create(folder_.path(), {{"format", 2}}, force);
    EXPECT_TRUE(run.ok()) << run.status().message();
    return *std::move(run);
  }
  RunDirectory go_on(std::int64_t step, std::int64_t evaluated) {
    auto run = RunDirectory::open(folder_.path());
    EXPECT_TRUE(run.ok()) << run.status().message();
    EXPECT_TRUE(run->go_back_to(step, evaluated, 1).ok());
    EXPECT_TRUE(run->also_write_events().ok());
    return *std::move(run);
  }
  const TestFolder folder_;
};

TEST_F(RunWithEventsTest, KilledAndResumedItHasEachStepOnce) {
  {
    RunDirectory run = begin();
    ASSERT_TRUE(run.also_write_events().ok());
    for (int step = 1; step <= 6; ++step) ASSERT_TRUE(run.append_metrics(step_line(step, step)).ok());
    ASSERT_TRUE(run.append_metrics({{"kind", "eval"}, {"step", 6}, {"score", 1.5}}).ok());
  }
  expect_events_like_metrics(folder_.path());
  // What a kill in the middle of a write leaves.
  const auto first = event_files_in(folder_.path()).at(0);
  std::filesystem::resize_file(first, std::filesystem::file_size(first) - 5);
  {
    // The checkpoint was that of step 6, before its evaluation.
    RunDirectory run = go_on(6, 0);
    ASSERT_TRUE(run.append_metrics({{"kind", "eval"}, {"step", 6}, {"score", 1.75}}).ok());
    ASSERT_TRUE(run.append_metrics(step_line(7, 70)).ok());
  }
  expect_events_like_metrics(folder_.path());
  {
    RunDirectory run = go_on(4, 0);
    for (int step = 5; step <= 9; ++step) ASSERT_TRUE(run.append_metrics(step_line(step, -step)).ok());
  }
  expect_events_like_metrics(folder_.path());
  EXPECT_EQ(event_files_in(folder_.path()).size(), 3u);
  std::vector<std::string> notes;
  const Series series = series_in(folder_.path(), notes);
  EXPECT_FALSE(series.contains("eval/score")) << "of step 6, which is void";
  EXPECT_EQ(series.at("train/loss").at(8), std::pair(std::int64_t{9}, -9.0));
  EXPECT_THAT(notes, ElementsAre(HasSubstr("The run was restarted from an earlier step: ")));
}

TEST_F(RunWithEventsTest, ForceRemovesTheFilesOfTheRunAndNoOthers) {
  {
    RunDirectory run = begin();
    ASSERT_TRUE(run.also_write_events().ok());
  }
  const auto others = folder_.make("events.out.tfevents.1.host", "x");
  std::filesystem::remove(folder_.path() / "run.json");
  std::filesystem::remove(folder_.path() / "metrics.jsonl");
  EXPECT_THAT(RunDirectory::create(folder_.path(), {{"format", 2}}, false).status().message(),
              HasSubstr("already holds a run"));
  { const RunDirectory run = begin(true); }
  EXPECT_THAT(event_files_in(folder_.path()), ElementsAre(others));
}

TEST_F(RunWithEventsTest, WithoutTheSettingThereIsNoEventFile) {
  RunDirectory run = begin();
  ASSERT_TRUE(run.append_metrics(step_line(1, 1)).ok());
  EXPECT_THAT(event_files_in(folder_.path()), IsEmpty());
}

}  // namespace
}  // namespace gradstab::lab
