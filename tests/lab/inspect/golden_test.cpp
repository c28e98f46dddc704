// Files that were written by their own tools (make_golden.py), whole, cut and damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "kept_trace.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/support/crc32c.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::inspect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr int kSteps = 60;

/// The norm of a step of the run in make_golden.py.
double norm_of(std::int64_t step) {
  if (step == 41) return 96.0;
  if (step == 50) return std::numeric_limits<double>::quiet_NaN();
  if (step == 51) return std::numeric_limits<double>::infinity();
  return 1.0 + static_cast<double>(step * 37 % 64) / 64.0;
}

double loss_of(std::int64_t step) {
  return 4.0 - static_cast<double>(step) / 64.0;
}

void expect_step(const Kept& kept, std::size_t place, std::int64_t step, std::int64_t per_step) {
  EXPECT_EQ(kept.steps[place], step * per_step);
  if (step == 50)
    EXPECT_TRUE(std::isnan(kept.norms[place]));
  else
    EXPECT_EQ(kept.norms[place], norm_of(step)) << step;
  EXPECT_THAT(kept.losses[place], Optional(loss_of(step))) << step;
}

/// The first `count` steps, exactly.
void expect_run(const Kept& kept, std::size_t count = kSteps, std::int64_t per_step = 1) {
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  ASSERT_EQ(kept.steps.size(), count);
  for (std::size_t i = 0; i < count; ++i) expect_step(kept, i, static_cast<std::int64_t>(i) + 1, per_step);
}

std::string content(const std::string& name) {
  std::ifstream file(std::filesystem::path(GRADSTAB_INSPECT_DATA) / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(GoldenLogTest, EachIsReadExactly) {
  struct Log {
    const char* name;
    const char* format;
    const char* norm;
    std::int64_t per_step;
  };
  for (const Log& log : {Log{"events.out.tfevents.simple", "TensorBoard event file", "train/grad_norm", 1},
                         Log{"events.out.tfevents.tensor.v2", "TensorBoard event file", "grad_norm", 1},
                         Log{"run.wandb", "W&B run file", "train/grad_norm", 10},
                         Log{"trainer_state.json", "trainer_state.json", "grad_norm", 1},
                         Log{"metrics.csv", "CSV", "grad_norm", 1}}) {
    SCOPED_TRACE(log.name);
    Kept kept;
    read_text(content(log.name), kept);
    expect_run(kept, kSteps, log.per_step);
    EXPECT_EQ(kept.facts.format, log.format);
    EXPECT_EQ(kept.facts.norm_name, log.norm);
    if (std::string(log.name) == "trainer_state.json")
      EXPECT_THAT(kept.facts.notes, ElementsAre(HasSubstr("A loss is the mean since the record before")));
    else
      EXPECT_THAT(kept.facts.notes, IsEmpty());
  }
}

TEST(GoldenLogTest, ArgumentsOfTheTrainerAreInItsEventFile) {
  Kept kept;
  read_text(content("events.out.tfevents.tensor.v2"), kept);
  EXPECT_THAT(kept.facts.clip_at, Optional(1.0));
  EXPECT_THAT(kept.facts.beta2, Optional(0.95));
  EXPECT_EQ(kept.facts.optimizer, "adamw_torch");
}

TEST(GoldenLogTest, CutAnywhereIsReadAsFarAsItGoes) {
  for (const char* name : {"events.out.tfevents.simple", "run.wandb", "metrics.csv"}) {
    const std::string whole = content(name);
    std::size_t most = 0;
    for (std::size_t size = whole.size() / 2; size < whole.size(); size += 7) {
      Kept kept;
      read_text(std::string_view(whole).substr(0, size), kept);
      ASSERT_TRUE(kept.status.ok()) << name << " of " << size << " bytes: " << kept.status.message();
      ASSERT_GE(kept.norms.size(), most) << name << " of " << size << " bytes";
      most = kept.norms.size();
      for (std::size_t i = 0; i + 1 < kept.norms.size(); ++i)
        expect_step(kept, i, static_cast<std::int64_t>(i) + 1, std::string(name) == "run.wandb" ? 10 : 1);
    }
    EXPECT_GE(most, 55u) << name;
  }
}

TEST(GoldenLogTest, DamageIsNamedAndTheRestRead) {
  const std::string whole = content("events.out.tfevents.simple");
  // The payload of the first record has length 24 or so: the byte behind its header belongs to it.
  const std::size_t tag = whole.find("train/grad_norm");
  std::string damaged = whole;
  damaged[tag] = 'X';
  Kept kept;
  read_text(damaged, kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_EQ(kept.norms.size(), kSteps - 1u) << "the norm of the first step is lost";
  EXPECT_THAT(kept.facts.notes,
              ElementsAre(HasSubstr("one record with a wrong checksum (CRC) was left out")));

  // The checksum of a length in the middle.
  const std::size_t later = whole.find("train/grad_norm", whole.size() / 2);
  std::string broken = whole;
  const std::size_t record = broken.rfind(std::string("\0\0\0\0\0\0\0", 7), later);
  ASSERT_NE(record, std::string::npos);
  broken[record + 8] = static_cast<char>(broken[record + 8] ^ 1);
  Kept half;
  read_text(broken, half);
  ASSERT_TRUE(half.status.ok()) << half.status.message();
  EXPECT_LT(half.norms.size(), 45u);
  EXPECT_GT(half.norms.size(), 15u);
  EXPECT_THAT(half.facts.notes,
              ElementsAre(HasSubstr("a length with a wrong checksum (CRC); what follows is lost")));

  // Records of the history and of the summary take turns: a damaged one costs a step, or nothing.
  const std::string wandb = content("run.wandb");
  int lost = 0, kept_all = 0;
  for (std::size_t at = wandb.find("train/loss"); at != std::string::npos;
       at = wandb.find("train/loss", at + 1)) {
    std::string bad = wandb;
    bad[at] = 'X';
    Kept rest;
    read_text(bad, rest);
    ASSERT_TRUE(rest.status.ok()) << rest.status.message();
    ASSERT_THAT(rest.facts.notes, ElementsAre(HasSubstr("One record is damaged")));
    lost += rest.norms.size() == kSteps - 1u ? 1 : 0;
    kept_all += rest.norms.size() == kSteps ? 1 : 0;
  }
  EXPECT_EQ(lost, kSteps);
  EXPECT_GT(kept_all, 0);
}

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t value = crc32c(bytes);
  return (value >> 15 | value << 17) + 0xa282ead8U;
}

TEST(GoldenLogTest, ALengthThatNoMachineHasCostsNothing) {
  std::string bytes;
  put(bytes, std::uint64_t{1} << 60);
  put(bytes, masked(bytes));
  std::string log = content("events.out.tfevents.simple") + bytes + "rest";
  Kept kept;
  read_text(log, kept);
  expect_run(kept);
  EXPECT_THAT(refusal(bytes), HasSubstr("nothing in it looks like a gradient norm; it has no named numbers"));
}

TEST(Crc32cTest, IsThatOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("6789", crc32c("12345")), crc32c("123456789"));
  EXPECT_NE(crc32c("123456788"), crc32c("123456789"));
}

TEST(FolderOfLogsTest, EventFilesOfAFolderAreOneRun) {
  const TestFolder folder;
  const std::string whole = content("events.out.tfevents.simple");
  folder.make("events.out.tfevents.1.first", whole.substr(0, whole.size() * 2 / 3));
  folder.make("events.out.tfevents.2.second", whole);
  auto traces = open_traces(folder.path(), {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  ASSERT_EQ(traces->size(), 1u);
  Kept kept;
  kept.status = traces->front().read(kept.facts, kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_EQ(kept.facts.format, "TensorBoard, 2 event files");
  EXPECT_EQ(kept.facts.fell_back, 1);
  EXPECT_GT(kept.norms.size(), 90u);
}

TEST(FolderOfLogsTest, PackedLogsAreUnpacked) {
  const TestFolder folder;
  const std::string text = content("metrics.csv");
  const auto path = folder.path() / "metrics.csv.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
  gzclose(file);
  auto traces = open_traces(path, {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  Kept kept;
  kept.status = traces->front().read(kept.facts, kept);
  expect_run(kept);
  std::ifstream packed(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(packed)), {});
  EXPECT_THAT(open_traces(folder.make("cut.gz", bytes.substr(0, bytes.size() / 2)), {}).status().message(),
              HasSubstr("cut.gz' is not a complete gzip file"));
}

TEST(FolderOfLogsTest, RunsInFoldersAreFound) {
  const TestFolder folder;
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directories(folder.path() / "runs" / name);
    std::filesystem::copy_file(std::filesystem::path(GRADSTAB_INSPECT_DATA) / "metrics.csv",
                               folder.path() / "runs" / name / "metrics.csv");
  }
  auto traces = open_traces(folder.path(), {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  ASSERT_EQ(traces->size(), 2u);
  EXPECT_EQ((*traces)[1].name, (folder.path() / "runs/b/metrics.csv").string());
  std::filesystem::create_directories(folder.path() / "empty");
  EXPECT_THAT(open_traces(folder.path() / "empty", {}).status().message(),
              HasSubstr("holds no log that is known by its name"));
  EXPECT_THAT(open_traces(folder.path() / "absent", {}).status().message(),
              HasSubstr("No such file or directory"));
}

TEST(FolderOfLogsTest, RunOfThisProgram) {
  const TestFolder folder;
  folder.make(
      "run.json",
      R"({"format": 2, "name": "x", "task": "llm", "settings": {"optimizer": "adamw", "beta2": 0.95, "transform": "none"},
    "model": {}, "data": {}, "environment": {}})");
  folder.make("metrics.jsonl",
              "{\"kind\":\"step\",\"step\":1,\"loss\":2.5,\"grad_norm\":1.5,\"stabilized_norm\":9,\"raw_"
              "norm\":{\"max\":1,\"max_name\":\"head\"}}\n"
              "{\"kind\":\"eval\",\"step\":1,\"validation_loss\":7}\n"
              "{\"kind\":\"step\",\"step\":2,\"loss\":null,\"grad_norm\":null,\"stabilized_norm\":null,\"raw_"
              "norm\":{\"max\":1,\"max_name\":\"tail\"}}\n"
              "{\"kind\":\"step\",\"step\":3,\"loss\":2.25,\"grad_norm\":2.0,\"raw_nor");
  for (const auto& path : {folder.path(), folder.path() / "metrics.jsonl"}) {
    auto traces = open_traces(path, {});
    ASSERT_TRUE(traces.ok()) << traces.status().message();
    Kept kept;
    kept.status = traces->front().read(kept.facts, kept);
    ASSERT_TRUE(kept.status.ok()) << kept.status.message();
    EXPECT_THAT(kept.steps, ElementsAre(1, 2));
    EXPECT_EQ(kept.norms[0], 1.5);
    EXPECT_TRUE(std::isnan(kept.norms[1]) && std::isnan(kept.losses[1].value())) << "null is NaN here";
    EXPECT_THAT(kept.largest, ElementsAre("head", "tail"));
    EXPECT_EQ(kept.facts.optimizer, "adamw");
    EXPECT_THAT(kept.facts.beta2, Optional(0.95));
    EXPECT_EQ(kept.facts.transform, "none");
  }
}

}  // namespace
}  // namespace gradstab::lab::inspect
