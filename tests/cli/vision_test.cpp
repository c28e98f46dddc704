// Image classification as users run it: train, kill, resume, report, and pictures that are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
// After stdio.h, of which it uses FILE.
#include <jpeglib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "idx_pictures.hpp"
#include "task_test.hpp"

namespace gradstab::testing_cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A JPEG file of a grey picture.
std::string jpeg(const std::string& pixels, int side) {
  jpeg_compress_struct compress = {};
  jpeg_error_mgr errors;
  compress.err = jpeg_std_error(&errors);
  jpeg_create_compress(&compress);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&compress, &memory, &size);
  compress.image_width = compress.image_height = static_cast<JDIMENSION>(side);
  compress.input_components = 1;
  compress.in_color_space = JCS_GRAYSCALE;
  jpeg_set_defaults(&compress);
  jpeg_start_compress(&compress, TRUE);
  for (int y = 0; y < side; ++y) {
    std::string row = pixels.substr(static_cast<std::size_t>(y * side), static_cast<std::size_t>(side));
    JSAMPROW rows[] = {reinterpret_cast<JSAMPROW>(row.data())};
    jpeg_write_scanlines(&compress, rows, 1);
  }
  jpeg_finish_compress(&compress);
  const std::string file(reinterpret_cast<char*>(memory), size);
  jpeg_destroy_compress(&compress);
  std::free(memory);
  return file;
}

class VisionTest : public TaskTest {
 protected:
  VisionTest() {
    std::filesystem::create_directories(folder_.path() / "pictures");
    write_idx(folder_.path() / "pictures", "train", 0, 400);
    write_idx(folder_.path() / "pictures", "t10k", 400, 100);
  }

  /// A small model on those pictures; what `more` has wins.
  static std::vector<std::string> train(const std::string& output,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "vision", "--output", output};
    for (const auto& [flag, value] : {std::pair("--recipe", "smoke"), std::pair("--data", "pictures"),
                                      std::pair("--threads", "1"), std::pair("--validation", "80")})
      if (std::ranges::find(more, flag) == more.end()) words.insert(words.end(), {flag, value});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  /// train/ and val/ with a folder for each class.
  void write_jpegs(int training, int validation) const {
    for (const auto& [part, first, count] :
         {std::tuple("train", 0, training), std::tuple("val", training, validation)})
      for (int i = first; i < first + count; ++i) {
        const auto of_class = folder_.path() / "jpegs" / part / ("quarter" + std::to_string(i % kClasses));
        std::filesystem::create_directories(of_class);
        const int side = 36 + i % 9;
        write(of_class / (std::to_string(i) + ".jpg"), jpeg(picture_bytes(i, side), side));
      }
  }
};

// Everything in it that draws or remembers: augmentation, mixing, BatchNorm's statistics, an average,
// stochastic depth.
const std::vector<std::string> kEverything = {
    "--model",         "resnet-mini", "--epochs",          "3",   "--batch",  "16",
    "--mixup",         "0.2",         "--cutmix",          "1",   "--policy", "trivial_augment",
    "--erase",         "0.2",         "--label-smoothing", "0.1", "--lr",     "0.01",
    "--average-decay", "0.9"};

TEST_F(VisionTest, LearnsAndShowsWhatItGotWrong) {
  const Outcome outcome =
      run(train("run", {"--model", "resnet-mini", "--epochs", "4", "--lr", "0.01", "--crop", "none", "--flip",
                        "0", "--eval-every", "0", "--checkpoint-every", "0"}));
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("ResNet of three blocks: 77"), HasSubstr("top-1"), HasSubstr(" pictures/s")));
  const json description = file("run/run.json");
  EXPECT_EQ(description.at("data").at("training"), 320);
  EXPECT_EQ(description.at("data").at("validation"), 80);
  EXPECT_EQ(description.at("updates"), 4 * 20);
  EXPECT_EQ(description.at("measures").at("uninformed"), 25.0);
  const json summary = file("run/summary.json");
  EXPECT_GT(summary.at("final_top1"), 90.0);
  EXPECT_EQ(summary.at("final_top5"), 100.0) << "of four classes";
  EXPECT_EQ(summary.at("diverged"), false);
  ASSERT_EQ(lines("run/metrics.jsonl", "test").size(), 1u);
  EXPECT_EQ(lines("run/metrics.jsonl", "test")[0].at("top1"), summary.at("final_top1"));

  const json exhibits = file("run/exhibits.json").at("exhibits");
  ASSERT_EQ(exhibits.size(), 2u);
  int sum = 0, right = 0;
  const json rows = exhibits[0].at("rows");
  ASSERT_EQ(rows.size(), 4u);
  for (std::size_t label = 0; label < 4; ++label)
    for (std::size_t prediction = 0; prediction < 4; ++prediction) {
      sum += rows[label][prediction + 1].get<int>();
      if (label == prediction) right += rows[label][prediction + 1].get<int>();
    }
  EXPECT_EQ(sum, 100);
  EXPECT_EQ(static_cast<double>(right), summary.at("final_top1").get<double>());
  run({"report", "run", "-o", "page.html"});
  EXPECT_THAT(read(folder_.path() / "page.html"),
              AllOf(HasSubstr("data:image/png;base64,"), HasSubstr("Confusion matrix"), HasSubstr("Top-1")));
}

class KilledVisionTest : public VisionTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(KilledVisionTest, GoesOnToTheSameWeights) {
  std::vector<std::string> settings = kEverything;
  settings.insert(settings.end(), {"--epochs", "8", "--eval-every", "30", "--checkpoint-every", GetParam()});
  settings.erase(settings.begin() + 2, settings.begin() + 4);  // the other length
  run(train("whole", settings));
  ASSERT_NO_FATAL_FAILURE(kill_after_checkpoint(train("killed", settings), "killed"));
  ASSERT_FALSE(std::filesystem::exists(folder_.path() / "killed" / "summary.json"));
  run({"train", "vision", "--resume", "killed"});
  for (const char* key : {"weights_checksum", "final_top1", "final_loss", "best_top1"})
    EXPECT_EQ(file("killed/summary.json").at(key), file("whole/summary.json").at(key)) << key;
  settings.insert(settings.end(), {"--seed", "1"});
  run(train("other", settings));
  EXPECT_NE(file("other/summary.json").at("weights_checksum"),
            file("whole/summary.json").at("weights_checksum"))
      << "the control";
}

// In the middle of an epoch of 20 updates, and at its border.
INSTANTIATE_TEST_SUITE_P(CheckpointEvery, KilledVisionTest, ::testing::Values("7", "0"),
                         [](const auto& every) {
                           return std::string(every.param) == "0" ? "Epoch" : "SevenUpdates";
                         });

TEST_F(VisionTest, TheWeightsDoNotDependOnTheWorkers) {
  std::set<json> checksums;
  for (const char* workers : {"0", "1", "3"}) {
    std::vector<std::string> settings = kEverything;
    settings.insert(settings.end(), {"--workers", workers});
    const std::string output = std::string("workers") + workers;
    run(train(output, settings));
    checksums.insert(file(output + "/summary.json").at("weights_checksum"));
  }
  EXPECT_EQ(checksums.size(), 1u);
}

TEST_F(VisionTest, EveryModelAndEverySettingTrains) {
  const std::pair<std::string, std::vector<std::string>> runs[] = {
      {"vit", {"--dropout", "0.1", "--drop-path", "0.1"}},
      {"convnext", {"--model", "convnext-mini", "--drop-path", "0.1", "--layer-scale", "0.1"}},
      {"cifar",
       {"--model", "resnet18-cifar", "--picture-size", "8", "--batch", "8", "--crop", "random_resized",
        "--eval-resize", "8", "--steps", "2"}},
      {"decay", {"--weight-decay", "0.1", "--decayed", "matrices"}},
      {"repeats", {"--repeats", "3", "--policy", "random_augment"}},
      {"odd", {"--mixup", "0.2", "--batch", "7", "--steps", "50"}}};
  for (const auto& [name, more] : runs) {
    run(train(name, more));
    EXPECT_TRUE(file(name + "/summary.json").at("final_top1").is_number()) << name;
  }
}

// adam_mini divides by names; it must know what to do with each.
TEST_F(VisionTest, IsTrainedByEveryOptimizer) {
  for (const char* optimizer : {"adamw", "adam", "sgd", "lion", "adam_mini", "spam", "stable_spam"}) {
    run(train(optimizer, {"--optimizer", optimizer}));
    EXPECT_EQ(file(std::string(optimizer) + "/summary.json").at("step"), 6) << optimizer;
  }
}

TEST_F(VisionTest, WeightDecayLeavesNormsAlone) {
  const auto checksum = [&](const std::string& name, const std::string& decayed) {
    run(train(name, {"--weight-decay", "0.5", "--decayed", decayed}));
    return file(name + "/summary.json").at("weights_checksum");
  };
  const std::set<json> checksums = {checksum("all", "all"), checksum("norms", "not_norms"),
                                    checksum("matrices", "matrices")};
  EXPECT_EQ(checksums.size(), 3u);
}

// With a decay near 0 the average is the last weights: it has their scores, BatchNorm's statistics included.
TEST_F(VisionTest, AnAverageThatKeepsNothingScoresAsTheWeights) {
  run(train("plain", {"--model", "resnet-mini"}));
  run(train("averaged", {"--model", "resnet-mini", "--average-decay", "1e-30"}));
  run(train("slow", {"--model", "resnet-mini", "--average-decay", "0.9"}));
  const auto loss = [&](const char* name) {
    return file(std::string(name) + "/summary.json").at("final_loss");
  };
  EXPECT_EQ(loss("averaged"), loss("plain"));
  EXPECT_NE(loss("slow"), loss("plain")) << "the control";
}

TEST_F(VisionTest, AFolderOfJpegsIsTrainedOn) {
  write_jpegs(160, 40);
  const std::vector<std::string> settings = {"--data",
                                             "jpegs",
                                             "--model",
                                             "resnet-mini",
                                             "--picture-size",
                                             "28",
                                             "--eval-resize",
                                             "28",
                                             "--epochs",
                                             "6",
                                             "--lr",
                                             "0.01",
                                             "--crop",
                                             "random_resized",
                                             "--flip",
                                             "0",
                                             "--crop-least",
                                             "0.8",
                                             "--normalization",
                                             "imagenet",
                                             "--validation",
                                             "20"};
  run(train("run", settings));
  const json summary = file("run/summary.json");
  EXPECT_GT(summary.at("final_top1"), 60.0) << "of four classes";
  EXPECT_EQ(file("run/run.json").at("data").at("classes"),
            (json{"quarter0", "quarter1", "quarter2", "quarter3"}));
  EXPECT_EQ(file("run/run.json").at("model").at("channels"), 3);
}

TEST_F(VisionTest, APictureThatCannotBeReadIsLeftOutOrRefused) {
  write_jpegs(40, 8);
  write(folder_.path() / "jpegs/train/quarter1/broken.jpg", "no picture");
  const std::vector<std::string> settings = {
      "--data",          "jpegs",    "--model", "resnet-mini",    "--eval-resize", "28",
      "--normalization", "imagenet", "--crop",  "random_resized", "--epochs",      "1"};
  const Outcome lenient = run(train("run", settings));
  EXPECT_THAT(lenient.err,
              AllOf(HasSubstr("1 picture cannot be read and is left out"), HasSubstr("broken.jpg")));
  std::vector<std::string> strict = settings;
  strict.push_back("--strict");
  EXPECT_THAT(run(train("strict", strict), 1).err, HasSubstr("broken.jpg"));
  EXPECT_THAT(run({"data", "vision", "jpegs"}).out,
              AllOf(HasSubstr("41 pictures, of which 1 cannot be read"), HasSubstr("broken.jpg"),
                    HasSubstr("quarter3 (10)"), HasSubstr("widths from 36 to 44")));
}

TEST_F(VisionTest, TheDataIsDescribed) {
  EXPECT_THAT(run({"data", "vision", "pictures", "--validation", "80"}).out,
              AllOf(HasSubstr("320 pictures"), HasSubstr("80 pictures"), HasSubstr("100 pictures"),
                    HasSubstr("28 x 28, grey"), HasSubstr("sha256"), HasSubstr("4: 0 (")));
}

TEST_F(VisionTest, OtherPicturesAreNotGoneOnWith) {
  ASSERT_NO_FATAL_FAILURE(
      kill_after_checkpoint(train("run", {"--steps", "100000", "--checkpoint-every", "3"}), "run"));
  // The same ones elsewhere are.
  std::filesystem::rename(folder_.path() / "pictures", folder_.path() / "moved");
  EXPECT_THAT(run({"train", "vision", "--resume", "run"}, 1).err, HasSubstr("pictures"));
  std::filesystem::create_directories(folder_.path() / "pictures");
  write_idx(folder_.path() / "pictures", "train", 1, 400);
  write_idx(folder_.path() / "pictures", "t10k", 400, 100);
  EXPECT_THAT(run({"train", "vision", "--resume", "run"}, 1).err, HasSubstr("sha256"));
}

TEST_F(VisionTest, WhatDoesNotFitIsRefused) {
  EXPECT_THAT(run(train("x", {"--data", "missing"}), 1).err, HasSubstr("missing"));
  EXPECT_THAT(run(train("x", {"--model", "vit-b"}), 2).err, HasSubstr("model must be one of vit-mini"));
  EXPECT_THAT(run(train("x", {"--drop-path", "0.1", "--model", "resnet-mini"}), 2).err,
              HasSubstr("no stochastic depth"));
  EXPECT_THAT(run(train("x", {"--look-back", "3"}), 2).err, HasSubstr("--look-back"));
  EXPECT_THAT(run(train("x", {"--recipe", "cpu-resnt"}), 2).err, HasSubstr("did you mean cpu-resnet?"));
  // 320 pictures: the last batch of 29 has one, of which the last stage has one pixel.
  const std::vector<std::string> single = {
      "--model", "resnet18-cifar", "--picture-size", "8", "--batch", "29",
      "--crop",  "random_resized", "--eval-resize",  "8"};
  EXPECT_THAT(run(train("x", single), 2).err,
              HasSubstr("batch must be such that no batch of an epoch has a single picture"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x"));
}

}  // namespace
}  // namespace gradstab::testing_cli
