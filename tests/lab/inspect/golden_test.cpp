// Files that were written by their own tools (make_golden.py), whole, cut and damaged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "kept_trace.hpp"
#include "lab/inspect/readers/open.hpp"
#include "lab/support/crc32c.hpp"
#include "lab/support/event_format.hpp"
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

TEST(GoldenLogTest, ALengthThatNoMachineHasCostsNothing) {
  std::string bytes;
  put(bytes, std::uint64_t{1} << 60);
  put(bytes, event_format::masked_checksum(bytes));
  std::string log = content("events.out.tfevents.simple") + bytes + "rest";
  Kept kept;
  read_text(log, kept);
  expect_run(kept);
  EXPECT_THAT(refusal(bytes), HasSubstr("nothing in it looks like a gradient norm; it has no named numbers"));
}

/// What a tool that trained in truth should have logged, by code of make_golden.py's own.
struct Row {
  std::int64_t step;
  double norm, loss;
};

std::vector<Row> expected_of(const std::string& tool) {
  std::vector<Row> rows;
  std::istringstream text(content(tool + "/expected.csv"));
  std::string line;
  std::getline(text, line);
  char comma = 0;
  while (std::getline(text, line)) {
    Row row{};
    std::istringstream(line) >> row.step >> comma >> row.norm >> comma >> row.loss;
    rows.push_back(row);
  }
  return rows;
}

void expect_rows(const Kept& kept, const std::vector<Row>& rows) {
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  ASSERT_EQ(kept.norms.size(), rows.size());
  ASSERT_EQ(rows.size(), 60u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(kept.steps[i], rows[i].step);
    // Of 19 numbers in f32, each square rounded, and their sum, and its root: far below 32 roundings.
    EXPECT_NEAR(kept.norms[i], rows[i].norm, rows[i].norm * 32 * 0x1p-24);
    ASSERT_TRUE(kept.losses[i].has_value());
    EXPECT_NEAR(*kept.losses[i], rows[i].loss, std::fabs(rows[i].loss) * 0x1p-23);
  }
  EXPECT_GT(rows[40].norm, 100 * rows[39].norm) << "the spike of make_golden.py";
}

TEST(GoldenLogTest, LightningLogsTheNormOfEachTensor) {
  Kept kept;
  read_text(content("lightning/metrics.csv"), kept);
  expect_rows(kept, expected_of("lightning"));
  EXPECT_EQ(kept.facts.norm_name, "grad_2.0_norm_total");
  EXPECT_EQ(kept.facts.loss_name, "train_loss");
  EXPECT_THAT(kept.facts.tensors,
              ElementsAre("model.0.bias", "model.0.weight", "model.2.bias", "model.2.weight"));
  for (std::size_t i = 0; i < kept.norms.size(); ++i) {
    ASSERT_EQ(kept.tensors[i].size(), 4u);
    double squares = 0.0;
    for (const TensorNorm& tensor : kept.tensors[i]) squares += tensor.norm * tensor.norm;
    EXPECT_NEAR(std::sqrt(squares), kept.norms[i], kept.norms[i] * 32 * 0x1p-24);
  }
  EXPECT_THAT(kept.facts.notes, IsEmpty());
}

TEST(GoldenLogTest, TheTrainerOfTransformersLogsNormsBeforeClipping) {
  const std::vector<Row> rows = expected_of("transformers");
  for (const char* name : {"trainer_state.json", "events.out.tfevents.trainer"}) {
    SCOPED_TRACE(name);
    Kept kept;
    read_text(content(std::string("transformers/") + name), kept);
    expect_rows(kept, rows);
    EXPECT_THAT(kept.facts.clipping, HasSubstr("before clipping"));
    EXPECT_GT(*std::ranges::max_element(kept.norms), 100.0) << "although the run clipped at 1";
    if (std::string(name) == "trainer_state.json") continue;
    EXPECT_THAT(kept.facts.clip_at, Optional(1.0));
    EXPECT_EQ(kept.facts.optimizer, "adamw_torch_fused");
    EXPECT_THAT(kept.facts.beta2, Optional(0.95));
  }
}

/// The run of records(), and nothing of what was done before it was restarted.
void expect_restarted(const Kept& kept) {
  expect_run(kept);
  EXPECT_EQ(kept.facts.fell_back, 0);
  EXPECT_EQ(kept.facts.repeated, 0);
  EXPECT_THAT(
      kept.facts.notes,
      ElementsAre("The run was restarted from an earlier step: 30 events of steps that were done again "
                  "were left out."));
}

TEST(GoldenLogTest, WhatARestartOfTorchMakesVoidIsLeftOut) {
  const std::filesystem::path folder = std::filesystem::path(GRADSTAB_INSPECT_DATA) / "restarted";
  auto traces = open_traces(folder, {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  ASSERT_EQ(traces->size(), 1u);
  Kept kept;
  kept.status = traces->front().read(kept.facts, kept);
  expect_restarted(kept);
  const std::string first = content("restarted/events.out.tfevents.1.torch");
  const std::string second = content("restarted/events.out.tfevents.2.torch");
  Kept in_one;
  read_text(first + second, in_one);
  expect_restarted(in_one);
  Kept before;
  read_text(first, before);
  EXPECT_EQ(before.norms.size(), 44u);
  EXPECT_EQ(before.norms[29], 2.0 * norm_of(30)) << "the control: what is void, read by itself";
}

/// An event by hand: its step, the status of a SessionLog where that is not 0, or else a norm.
std::string event(std::int64_t step, int status, float norm = 0.0F) {
  std::string payload = {'\x10', static_cast<char>(step)};
  if (status != 0) {
    payload += "\x3a\x02\x08";
    payload += static_cast<char>(status);
  } else {
    payload += "\x2a\x12\x0a\x10\x0a\x09grad_norm\x15";
    put(payload, norm);
  }
  std::string record;
  event_format::append_record(record, payload);
  return record;
}

TEST(RestartTest, VoidsWhatStandsBeforeOfItsStepAndLaterOnes) {
  constexpr int kStart = 1, kStop = 2, kCheckpoint = 3;
  const auto norms = [](const std::string& log) {
    Kept kept;
    read_text(log, kept);
    EXPECT_TRUE(kept.status.ok()) << kept.status.message();
    EXPECT_EQ(kept.facts.fell_back, 0);
    return kept.norms;
  };
  const std::string run = event(1, 0, 1) + event(2, 0, 2) + event(3, 0, 3) + event(4, 0, 4);
  EXPECT_THAT(norms(run + event(3, kStart) + event(3, 0, 30) + event(4, 0, 40)), ElementsAre(1, 2, 30, 40));
  EXPECT_THAT(norms(run + event(5, kStart) + event(5, 0, 5)), ElementsAre(1, 2, 3, 4, 5))
      << "nothing is void";
  EXPECT_THAT(norms(event(0, kStart) + run), ElementsAre(1, 2, 3, 4)) << "the first start of TensorFlow";
  EXPECT_THAT(norms(run + event(3, kStop) + event(3, kCheckpoint)), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(norms(run + event(4, kStart) + event(4, 0, 40) + event(2, kStart) + event(2, 0, 20)),
              ElementsAre(1, 20))
      << "of several";
  EXPECT_THAT(
      norms(run + event(2, kStart) + event(2, 0, 20) + event(3, 0, 30) + event(3, kStart) + event(3, 0, 300)),
      ElementsAre(1, 20, 300));
  std::string damaged = event(3, kStart);
  damaged[damaged.size() - 6] ^= 1;
  EXPECT_THAT(norms(run + damaged + event(5, 0, 5)), ElementsAre(1, 2, 3, 4, 5)) << "a damaged one is none";
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
