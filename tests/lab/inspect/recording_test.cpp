// Recordings of norms as logs, whole, cut off and damaged.
#include "gradstab/recording.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "gradstab/transform.hpp"
#include "kept_trace.hpp"

namespace gradstab::lab::inspect {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// The bytes of a recording, as text.
class Made {
 public:
  explicit Made(std::vector<RecordedFact> facts = {}) {
    RecordingEncoder::start(bytes_);
    header({"a", "b"}, std::move(facts));
  }
  void header(const std::vector<std::string>& names, std::vector<RecordedFact> facts = {}) {
    RecordingHeader header;
    for (const std::string& name : names) header.tensors.push_back({name, 1, "float32"});
    header.facts = std::move(facts);
    encoder_.header(header, bytes_).check();
  }
  Made& step(std::int64_t step, const std::vector<double>& norms, std::optional<double> loss = {}) {
    encoder_.step(step, loss, norms, bytes_).check();
    return *this;
  }
  std::string text() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }

 private:
  RecordingEncoder encoder_;
  std::vector<std::byte> bytes_;
};

std::vector<std::pair<std::uint32_t, double>> pairs(const std::vector<TensorNorm>& norms) {
  std::vector<std::pair<std::uint32_t, double>> list;
  for (const TensorNorm& each : norms) list.emplace_back(each.tensor, each.norm);
  return list;
}

TEST(RecordingReaderTest, GivesStepsTensorsAndFacts) {
  Made made({{"optimizer", "AdamW"},
             {"beta2", "0.95"},
             {"clip", "1.5"},
             {"clipping", "before clipping"},
             {"transform", "stabilize"},
             {"measured", "in front of the optimizer's step"}});
  made.step(1, {3.0, 4.0}, 2.5).step(2, {kNoGradient, 0.5}).step(4, {std::nan(""), 1.0}, std::nan(""));
  Kept kept;
  read_text(made.text(), kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 4));
  EXPECT_EQ(kept.norms[0], 5.0);
  EXPECT_EQ(kept.norms[1], 0.5);
  EXPECT_TRUE(std::isnan(kept.norms[2]));
  EXPECT_EQ(kept.losses[0], 2.5);
  EXPECT_EQ(kept.losses[1], std::nullopt);
  EXPECT_TRUE(std::isnan(kept.losses[2].value()));
  EXPECT_THAT(pairs(kept.tensors[0]), ElementsAre(std::pair(0u, 3.0), std::pair(1u, 4.0)));
  EXPECT_THAT(pairs(kept.tensors[1]), ElementsAre(std::pair(1u, 0.5)));
  EXPECT_EQ(kept.facts.format, "recording of norms");
  EXPECT_THAT(kept.facts.tensors, ElementsAre("a", "b"));
  EXPECT_EQ(kept.facts.optimizer, "AdamW");
  EXPECT_EQ(kept.facts.beta2, 0.95);
  EXPECT_EQ(kept.facts.clip_at, 1.5);
  EXPECT_EQ(kept.facts.clipping, "before clipping");
  EXPECT_EQ(kept.facts.transform, "stabilize");
  EXPECT_EQ(kept.facts.loss_name, "loss");
  EXPECT_EQ(kept.facts.step_name, "step");
  EXPECT_THAT(kept.facts.notes, ElementsAre("The gradients were measured in front of the optimizer's step."));
}

TEST(RecordingReaderTest, AStepWithoutAnyGradientHasNoNorm) {
  Made made;
  made.step(1, {3.0, 4.0}, 2.5).step(2, {kNoGradient, kNoGradient}, 2.5).step(3, {kNoGradient, kNoGradient});
  Kept kept;
  read_text(made.text(), kept);
  EXPECT_THAT(kept.steps, ElementsAre(1));
  EXPECT_EQ(kept.facts.without_norm, 1);
}

TEST(RecordingReaderTest, TensorsKeepTheirNamesThroughAllHeaders) {
  Made made;
  made.step(1, {3.0, 4.0});
  made.header({"b", "c"}, {{"parts", "3 of 8"}});
  made.step(2, {5.0, 12.0}).step(1, {6.0, 8.0}).step(1, {9.0, 12.0});
  Kept kept;
  read_text(made.text(), kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.facts.tensors, ElementsAre("a", "b", "c"));
  EXPECT_THAT(pairs(kept.tensors[1]), ElementsAre(std::pair(1u, 5.0), std::pair(2u, 12.0)));
  EXPECT_EQ(kept.facts.fell_back, 1);
  EXPECT_EQ(kept.facts.repeated, 1);
  EXPECT_THAT(kept.norms, ElementsAre(5.0, 13.0, 10.0)) << "of a step that is there twice the first";
  EXPECT_THAT(kept.tensors[2], SizeIs(2));
  EXPECT_THAT(kept.facts.notes, ElementsAre(HasSubstr("one process's parts of the tensors (3 of 8)")));
}

TEST(RecordingReaderTest, TheNormOfATensorMayBeAskedFor) {
  Made made;
  made.step(1, {3.0, 4.0}).step(2, {kNoGradient, 0.5}).step(3, {7.0, 1.0});
  Kept kept;
  read_text(made.text(), kept, {.columns = {.norm = "a"}});
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 3));
  EXPECT_THAT(kept.norms, ElementsAre(3.0, 7.0));
  EXPECT_THAT(kept.tensors[0], IsEmpty());
  EXPECT_EQ(refusal(made.text(), {.columns = {.norm = "w"}}),
            "'log': --norm must be 'global norm' or the name of a tensor in the recording, got 'w'");
  EXPECT_EQ(refusal(made.text(), {.columns = {.loss = "w"}}),
            "'log': --loss must be 'loss' for a recording of norms, got 'w'");
  EXPECT_EQ(refusal(made.text(), {.columns = {.norm = "global norm"}}), "read, 3 records");
}

TEST(RecordingReaderTest, WhatIsCutOffIsNoErrorAndWhatIsDamagedIsNamed) {
  Made made;
  made.step(1, {3.0, 4.0}).step(2, {3.0, 4.0});
  const std::size_t end_of_two = made.text().size();
  const std::string text = made.step(3, {3.0, 4.0}).text();
  for (std::size_t size = end_of_two; size < text.size(); ++size) {
    Kept kept;
    read_text(text.substr(0, size), kept);
    EXPECT_THAT(kept.steps, ElementsAre(1, 2)) << size;
    EXPECT_THAT(kept.facts.notes, IsEmpty()) << size;
  }
  std::string damaged = text;
  damaged[end_of_two - 20] ^= 1;
  Kept kept;
  read_text(damaged, kept);
  EXPECT_THAT(kept.steps, ElementsAre(1, 3));
  EXPECT_THAT(kept.facts.notes, ElementsAre(HasSubstr("In one place the recording is damaged (CRC)")));
}

TEST(RecordingReaderTest, WhatCannotBeReadIsSaid) {
  EXPECT_EQ(refusal(Made().text()), "'log' holds a recording without a step yet");
  std::string later = Made().step(1, {1.0, 2.0}).text();
  later[8] = 2;
  EXPECT_THAT(refusal(later), HasSubstr("'log' is a damaged recording of norms"));
  EXPECT_THAT(refusal("\x89GSNORM\n"), HasSubstr("without a step yet"));
}

TEST(RecordingReaderTest, IsFoundInAFolderByItsEnding) {
  std::string name = (fs::temp_directory_path() / "gradstab_recording_XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  for (const char* file : {"rank0.gsnorms", "rank1.gsnorms"})
    std::ofstream(folder / file, std::ios::binary) << Made().step(1, {3.0, 4.0}).text();
  std::ofstream(folder / "metrics.csv") << "step,grad_norm\n1,2\n";
  const auto traces = open_traces(folder, {});
  ASSERT_TRUE(traces.ok()) << traces.status().message();
  ASSERT_THAT(*traces, SizeIs(2)) << "recordings go before metrics.csv";
  Kept kept;
  kept.status = (*traces)[1].read(kept.facts, kept);
  EXPECT_EQ((*traces)[1].name, (folder / "rank1.gsnorms").string());
  EXPECT_THAT(kept.norms, ElementsAre(5.0));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace gradstab::lab::inspect
