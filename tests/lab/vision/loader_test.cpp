// Batches are functions of the seed and the index, whatever made them.
#include "lab/vision/loader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lab/vision/erase.hpp"
#include "test_sources.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

/// Everything that a recipe can ask for, on pictures of 8x8.
AugmentationOptions everything() {
  AugmentationOptions options;
  options.size = 8;
  options.padding = 2;
  options.policy = Policy::trivial_augment;
  options.erase = 0.5;
  options.mixup_alpha = 0.2;
  options.cutmix_alpha = 1;
  return options;
}
AugmentationOptions nothing(int size = 8) {
  AugmentationOptions options;
  options.size = size;
  options.crop = Crop::none;
  options.flip = 0;
  return options;
}

std::unique_ptr<Loader> make_loader(const std::shared_ptr<const PictureSource>& source,
                                    const AugmentationOptions& augmentation, const LoaderOptions& options) {
  auto loader = Loader::create(source, augmentation, options);
  EXPECT_TRUE(loader.ok()) << loader.status().message();
  return std::move(loader).value();
}

Batch training(Loader& loader, std::uint64_t index) {
  Batch batch;
  loader.training_batch(index, batch).check();
  return batch;
}
Batch evaluation(Loader& loader, Part part, std::int64_t first, std::int64_t count) {
  Batch batch;
  loader.evaluation_batch(part, first, count, batch).check();
  return batch;
}

bool same(const Batch& a, const Batch& b) {
  return a.count == b.count && a.pixels == b.pixels && a.labels == b.labels && a.weight == b.weight &&
         a.partner_labels == b.partner_labels && a.pictures == b.pictures;
}

TEST(LoaderTest, AnyNumberOfWorkersGivesTheSameBits) {
  const auto source = packed_source(50, 20, 0);
  const auto alone = make_loader(source, everything(), {.batch = 8, .seed = 3, .workers = 0});
  for (const int workers : {1, 2, 7})
    for (const int prefetch : {1, 4}) {
      const auto loader = make_loader(source, everything(),
                                      {.batch = 8, .seed = 3, .workers = workers, .prefetch = prefetch});
      Batch batch;
      for (std::uint64_t index = 0; index < 20; ++index) {
        loader->training_batch(index, batch).check();
        ASSERT_TRUE(same(batch, training(*alone, index))) << workers << " workers, batch " << index;
      }
    }
  // Batches and seeds differ.
  EXPECT_FALSE(same(training(*alone, 0), training(*alone, 7)));
  const auto other = make_loader(source, everything(), {.batch = 8, .seed = 4, .workers = 0});
  EXPECT_FALSE(same(training(*alone, 0), training(*other, 0)));
}

TEST(LoaderTest, AnyOrderOfRequestsGivesTheSameBits) {
  const auto source = packed_source(50, 20, 0);
  const auto alone = make_loader(source, everything(), {.batch = 8, .workers = 0});
  const auto loader = make_loader(source, everything(), {.batch = 8, .workers = 3, .prefetch = 3});
  // Forwards, back, the same again, far ahead, and into the middle and the border of an epoch.
  for (const std::uint64_t index : {0U, 1U, 0U, 0U, 5U, 6U, 7U, 1000003U, 1000004U, 13U, 14U, 15U, 16U, 18U})
    ASSERT_TRUE(same(training(*loader, index), training(*alone, index))) << index;
}

TEST(LoaderTest, EvaluatingInBetweenChangesNothing) {
  const auto source = packed_source(50, 20, 0);
  const auto alone = make_loader(source, everything(), {.batch = 8, .workers = 0});
  const auto loader = make_loader(source, everything(), {.batch = 8, .workers = 2});
  for (std::uint64_t index = 0; index < 10; ++index) {
    ASSERT_TRUE(same(training(*loader, index), training(*alone, index)));
    for (std::int64_t first = 0; first < 20; first += 6) {
      const Batch batch = evaluation(*loader, Part::test, first, 6);
      ASSERT_TRUE(same(batch, evaluation(*alone, Part::test, first, 6)));
      ASSERT_EQ(batch.count, std::min<std::int64_t>(6, 20 - first));
    }
  }
}

TEST(LoaderTest, AnEpochShowsEveryPictureOnceInAnOrderOfItsOwn) {
  const auto source = packed_source(50, 20, 7);
  const auto loader = make_loader(source, nothing(), {.batch = 8, .workers = 2});
  ASSERT_EQ(loader->batches_per_epoch(), 6);
  std::vector<std::vector<std::int64_t>> epochs(3);
  for (std::uint64_t index = 0; index < 18; ++index) {
    const Batch batch = training(*loader, index);
    EXPECT_EQ(batch.count, loader->samples(index));
    EXPECT_EQ(batch.count, index % 6 == 5 ? 3 : 8);
    auto& epoch = epochs[index / 6];
    epoch.insert(epoch.end(), batch.pictures.begin(), batch.pictures.end());
    for (std::int64_t i = 0; i < batch.count; ++i)
      EXPECT_EQ(batch.labels[static_cast<std::size_t>(i)],
                source->label(Part::training, batch.pictures[static_cast<std::size_t>(i)]));
  }
  for (const auto& epoch : epochs) {
    EXPECT_THAT(epoch, SizeIs(43));
    EXPECT_THAT(std::set<std::int64_t>(epoch.begin(), epoch.end()), SizeIs(43));
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  EXPECT_FALSE(std::ranges::is_sorted(epochs[0]));
}

TEST(LoaderTest, TheLastSmallerBatchCanBeLeftOut) {
  const auto source = packed_source(50, 20, 0);
  const auto loader = make_loader(source, nothing(), {.batch = 8, .workers = 1, .drop_last = true});
  EXPECT_EQ(loader->batches_per_epoch(), 6);
  for (std::uint64_t index = 0; index < 13; ++index) EXPECT_EQ(training(*loader, index).count, 8);
  EXPECT_THAT(Loader::create(source, nothing(), {.batch = 51, .drop_last = true}).status().message(),
              StartsWith("an epoch has no batch of 51, since 'memory' has 50 training pictures"));
}

TEST(LoaderTest, RepeatedPicturesStandInARowAndDiffer) {
  const auto source = packed_source(51, 20, 0);
  AugmentationOptions augmentation = nothing();
  augmentation.crop = Crop::padded;
  augmentation.flip = 0.5;
  augmentation.repeats = 4;
  const auto loader = make_loader(source, augmentation, {.batch = 8, .workers = 2});
  std::vector<std::int64_t> epoch;
  int equal = 0, pairs = 0;
  for (std::int64_t b = 0; b < loader->batches_per_epoch(); ++b) {
    const Batch batch = training(*loader, static_cast<std::uint64_t>(b));
    epoch.insert(epoch.end(), batch.pictures.begin(), batch.pictures.end());
    const std::size_t values = batch.pixels.size() / batch.labels.size();
    for (std::size_t i = 1; i < batch.labels.size(); ++i) {
      if (batch.pictures[i] != batch.pictures[i - 1]) continue;
      ++pairs;
      equal += std::equal(batch.pixels.begin() + static_cast<std::ptrdiff_t>(i * values),
                          batch.pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * values),
                          batch.pixels.begin() + static_cast<std::ptrdiff_t>((i - 1) * values))
                   ? 1
                   : 0;
    }
  }
  ASSERT_THAT(epoch, SizeIs(51));
  for (std::size_t i = 0; i < epoch.size(); ++i) EXPECT_EQ(epoch[i], epoch[i / 4 * 4]);
  EXPECT_THAT(std::set<std::int64_t>(epoch.begin(), epoch.end()), SizeIs(13));
  EXPECT_EQ(pairs, 38);
  // Of 25 crops, each flipped or not.
  EXPECT_LT(equal, 8);
}

TEST(LoaderTest, WithoutAugmentationABatchIsThePicturesNormalized) {
  const auto source = packed_source(50, 20, 0, 8, 1);
  const auto loader = make_loader(source, nothing(), {.batch = 8, .workers = 1});
  const SourceInfo& info = source->info();
  const Batch batch = training(*loader, 2);
  EXPECT_EQ(batch.channels, 1);
  EXPECT_EQ(batch.width, 8);
  EXPECT_THAT(batch.partner_labels, IsEmpty());
  ReadBuffers buffers;
  Picture picture;
  for (std::size_t i = 0; i < batch.labels.size(); ++i) {
    source->read(Part::training, batch.pictures[i], whole, buffers, picture).check();
    for (std::size_t k = 0; k < 64; ++k)
      EXPECT_NEAR(batch.pixels[i * 64 + k], (picture.pixels[k] / 255.0 - info.mean[0]) / info.deviation[0],
                  4 * 0x1p-23 * (1 + 1 / info.deviation[0]));
  }
  // Of all training pictures the mean is 0 and the deviation 1.
  double sum = 0, squares = 0;
  for (std::uint64_t index = 0; index < 7; ++index)
    for (const float value : training(*loader, index).pixels) {
      sum += value;
      squares += value * value;
    }
  EXPECT_NEAR(sum / (50 * 64), 0, 1e-6);
  EXPECT_NEAR(squares / (50 * 64), 1, 1e-6);
}

TEST(LoaderTest, ErasedValuesAreZeroAfterNormalization) {
  const auto source = packed_source(50, 20, 0);
  AugmentationOptions augmentation = nothing();
  const auto plain = make_loader(source, augmentation, {.batch = 50, .workers = 0});
  augmentation.erase = 1;
  const auto erasing = make_loader(source, augmentation, {.batch = 50, .workers = 0});
  const Batch before = training(*plain, 0), after = training(*erasing, 0);
  int erased = 0;
  for (std::size_t i = 0; i < before.pixels.size(); ++i) {
    if (before.pixels[i] == after.pixels[i]) continue;
    EXPECT_EQ(after.pixels[i], 0);
    ++erased;
  }
  // Every picture loses 2 to 33 % of its area, up to the rounding of sides.
  EXPECT_GT(erased, static_cast<int>(before.pixels.size()) / 50);
  EXPECT_LT(erased, static_cast<int>(before.pixels.size()) / 2);
}

TEST(LoaderTest, FlipsHappenAsOftenAsAsked) {
  const auto source = packed_source(2000, 20, 0, 2, 1);
  AugmentationOptions augmentation = nothing(2);
  const auto plain = make_loader(source, augmentation, {.batch = 2000, .workers = 0});
  augmentation.flip = 0.3;
  const auto flipping = make_loader(source, augmentation, {.batch = 2000, .workers = 0});
  const Batch before = training(*plain, 0), after = training(*flipping, 0);
  int flipped = 0, same_both_ways = 0;
  for (std::size_t i = 0; i < 2000; ++i) {
    const float* const a = &before.pixels[4 * i];
    const float* const b = &after.pixels[4 * i];
    if (a[0] == a[1] && a[2] == a[3])
      ++same_both_ways;
    else if (b[0] == a[1] && b[1] == a[0] && b[2] == a[3] && b[3] == a[2])
      ++flipped;
    else
      ASSERT_TRUE(std::equal(a, a + 4, b));
  }
  EXPECT_LT(same_both_ways, 10);
  EXPECT_NEAR(flipped, 600, 5 * std::sqrt(2000 * 0.3 * 0.7) + 10);
}

TEST(LoaderTest, MixedBatchesOfAnOddNumberAndOfOneAreWhole) {
  const auto source = packed_source(22, 20, 0);
  AugmentationOptions augmentation = nothing();
  for (const bool cutmix : {false, true}) {
    (cutmix ? augmentation.cutmix_alpha : augmentation.mixup_alpha) = 1;
    (cutmix ? augmentation.mixup_alpha : augmentation.cutmix_alpha) = 0;
    for (const int workers : {0, 2}) {
      const auto loader = make_loader(source, augmentation, {.batch = 7, .workers = workers});
      for (std::uint64_t index = 0; index < 4; ++index) {
        const Batch batch = training(*loader, index);
        ASSERT_EQ(batch.count, index == 3 ? 1 : 7);
        ASSERT_EQ(std::ssize(batch.partner_labels), batch.count);
        EXPECT_GE(batch.weight, 0);
        EXPECT_LE(batch.weight, 1);
        for (std::size_t i = 0; i < batch.labels.size(); ++i)
          EXPECT_EQ(batch.partner_labels[i],
                    batch.labels[(i + batch.labels.size() - 1) % batch.labels.size()]);
      }
    }
  }
}

TEST(LoaderTest, PicturesThatNeedNoResizeAreCutAndNothingElse) {
  // The middle of pictures that have the size of the resize, in batches whose memory ends with the last one.
  const auto source = packed_source(50, 20, 0);
  for (const int size : {8, 7, 6, 5}) {
    AugmentationOptions options = nothing(size);
    options.evaluation_resize = 8;
    options.normalization = Normalization::none;
    const auto cut_out = make_loader(source, options, {.batch = 3, .workers = 0});
    AugmentationOptions all = nothing();
    all.normalization = Normalization::none;
    const auto whole = make_loader(source, all, {.batch = 3, .workers = 0});
    const Batch part = evaluation(*cut_out, Part::test, 0, 3), entire = evaluation(*whole, Part::test, 0, 3);
    const auto side = static_cast<std::size_t>(size);
    ASSERT_EQ(part.pixels.size(), 3 * side * side * static_cast<std::size_t>(part.channels));
    // As torchvision's centre crop: half of what is left over, rounded to even.
    const auto offset = static_cast<std::size_t>(std::nearbyint((8 - size) / 2.0));
    for (std::size_t plane = 0; plane < part.pixels.size() / (side * side); ++plane)
      for (std::size_t y = 0; y < side; ++y)
        for (std::size_t x = 0; x < side; ++x)
          ASSERT_EQ(part.pixels[(plane * side + y) * side + x],
                    entire.pixels[(plane * 8 + y + offset) * 8 + x + offset])
              << size << ": " << plane << ", " << y << ", " << x;
  }
}

TEST(LoaderTest, OptionsThatDoNotFitAreRefused) {
  const auto source = packed_source(50, 20, 0);
  const auto refusal_of = [&](const AugmentationOptions& augmentation, const LoaderOptions& options) {
    const auto loader = Loader::create(source, augmentation, options);
    EXPECT_FALSE(loader.ok());
    EXPECT_EQ(loader.status().code(), StatusCode::invalid_argument);
    return loader.status().message();
  };
  EXPECT_EQ(refusal_of(nothing(), {.batch = 0}), "batch must be from 1 to 1048576, got 0");
  EXPECT_EQ(refusal_of(nothing(), {.workers = -1}), "workers must be from 0 to 1024, got -1");
  EXPECT_EQ(refusal_of(nothing(), {.prefetch = 0}), "prefetch must be from 1 to 1024, got 0");
  EXPECT_EQ(refusal_of(nothing(9), {}),
            "eval_resize is 0, which needs pictures of 9 x 9; those of 'memory' are of 8 x 8");
  AugmentationOptions padded = everything();
  padded.size = 6;
  padded.evaluation_resize = 8;
  EXPECT_EQ(refusal_of(padded, {}),
            "a padded crop of 6 x 6 needs pictures of that size; those of 'memory' are of 8 x 8");
  const auto with = [](auto member, auto value) {
    AugmentationOptions options = nothing();
    options.*member = value;
    return options;
  };
  using Options = AugmentationOptions;
  EXPECT_EQ(refusal_of(with(&Options::flip, 1.5), {}), "flip must be from 0 to 1, got 1.5");
  EXPECT_EQ(refusal_of(with(&Options::erase, -0.1), {}), "erase must be from 0 to 1, got -0.1");
  EXPECT_EQ(refusal_of(with(&Options::mixup_alpha, std::nan("")), {}),
            "mixup must be from 0 to 1000, got nan");
  EXPECT_EQ(refusal_of(with(&Options::cutmix_alpha, -1.0), {}), "cutmix must be from 0 to 1000, got -1");
  EXPECT_EQ(refusal_of(with(&Options::repeats, 0), {}), "repeats must be from 1 to 1000, got 0");
  EXPECT_EQ(refusal_of(with(&Options::size, 0), {}), "size must be from 1 to 4096, got 0");
  EXPECT_EQ(refusal_of(with(&Options::padding, 9), {}), "padding must be from 0 to 8, got 9");
  EXPECT_EQ(refusal_of(with(&Options::random_augment_magnitude, 31), {}),
            "policy_magnitude must be from 0 to 30, got 31");
  EXPECT_EQ(refusal_of(with(&Options::random_augment_count, 0), {}),
            "policy_count must be from 1 to 100, got 0");
  EXPECT_EQ(refusal_of(with(&Options::evaluation_resize, 7), {}),
            "eval_resize must be from 8 to 4096, got 7");
  EXPECT_EQ(refusal_of(with(&Options::scale_least, 0.0), {}),
            "the scale of the crop must be a range above 0 and up to 1, got 0 to 1");
  EXPECT_THAT(refusal_of(with(&Options::ratio_most, 0.5), {}),
              HasSubstr("must be a range above 0, got 0.75 to 0.5"));
  AugmentationOptions imagenet = nothing();
  imagenet.normalization = Normalization::imagenet;
  EXPECT_TRUE(Loader::create(source, imagenet, {}).ok());
  EXPECT_EQ(Loader::create(packed_source(50, 20, 0, 8, 1), imagenet, {}).status().message(),
            "ImageNet's normalization needs three channels, 'memory' has 1");
}

TEST(LoaderTest, EvaluationOutsideOfAPartIsRefused) {
  const auto loader = make_loader(packed_source(50, 20, 0), nothing(), {});
  Batch batch;
  EXPECT_EQ(loader->evaluation_batch(Part::test, 20, 1, batch).message(),
            "picture 20 is not in the test part, which has 20");
  EXPECT_EQ(loader->evaluation_batch(Part::test, -1, 1, batch).code(), StatusCode::invalid_argument);
  EXPECT_EQ(loader->evaluation_batch(Part::test, 0, 0, batch).message(),
            "a batch has at least 1 picture, got 0");
}

/// A folder of real JPEGs and PNGs, as ImageNet's recipes read it.
class LoaderFolderTest : public FolderTest {
 protected:
  static AugmentationOptions recipe() {
    AugmentationOptions options;
    options.size = 16;
    options.crop = Crop::random_resized;
    options.policy = Policy::random_augment;
    options.erase = 0.1;
    options.mixup_alpha = 0.2;
    options.cutmix_alpha = 1;
    options.normalization = Normalization::imagenet;
    options.evaluation_resize = 20;
    return options;
  }
  std::shared_ptr<const PictureSource> source() const { return open_source({folder_.string(), 0}).value(); }
};

TEST_F(LoaderFolderTest, AnyNumberOfWorkersGivesTheSameBits) {
  write_picture_folder(folder_, 9);
  const auto alone = make_loader(source(), recipe(), {.batch = 5, .workers = 0});
  ASSERT_EQ(alone->batches_per_epoch(), 6);
  for (const int workers : {1, 7}) {
    const auto loader = make_loader(source(), recipe(), {.batch = 5, .workers = workers});
    for (std::uint64_t index = 0; index < 14; ++index)
      ASSERT_TRUE(same(training(*loader, index), training(*alone, index))) << index;
    for (std::int64_t first = 0; first < 15; first += 4)
      ASSERT_TRUE(same(evaluation(*loader, Part::validation, first, 4),
                       evaluation(*alone, Part::validation, first, 4)));
  }
  EXPECT_THAT(alone->skipped(), IsEmpty());
  EXPECT_EQ(alone->skipped_warning(), "");
}

TEST_F(LoaderFolderTest, ABrokenPictureIsLeftOutAndShiftsNoOther) {
  write_picture_folder(folder_, 9);
  AugmentationOptions augmentation = recipe();
  augmentation.mixup_alpha = augmentation.cutmix_alpha = 0;
  const auto whole_one = make_loader(source(), augmentation, {.batch = 6, .workers = 2});
  std::vector<Batch> before;
  for (std::uint64_t index = 0; index < 10; ++index) before.push_back(training(*whole_one, index));
  const fs::path broken = folder_ / "train" / "bee" / "4.jpg";
  const std::string bytes = content(broken);
  write_file(broken, bytes.substr(0, bytes.size() / 2));
  for (const int workers : {0, 3}) {
    const auto loader = make_loader(source(), augmentation, {.batch = 6, .workers = workers});
    int missing = 0;
    for (std::uint64_t index = 0; index < 10; ++index) {
      const Batch batch = training(*loader, index);
      const Batch& expected = before[index];
      const std::size_t values = expected.pixels.size() / expected.labels.size();
      std::size_t at = 0;
      for (std::size_t i = 0; i < expected.labels.size(); ++i) {
        if (at == batch.labels.size() || batch.pictures[at] != expected.pictures[i]) {
          ++missing;
          ASSERT_THAT(batch.skipped, SizeIs(1));
          EXPECT_EQ(batch.skipped[0].picture, expected.pictures[i]);
          continue;
        }
        EXPECT_EQ(batch.labels[at], expected.labels[i]);
        ASSERT_TRUE(std::equal(expected.pixels.begin() + static_cast<std::ptrdiff_t>(i * values),
                               expected.pixels.begin() + static_cast<std::ptrdiff_t>((i + 1) * values),
                               batch.pixels.begin() + static_cast<std::ptrdiff_t>(at * values)));
        ++at;
      }
      EXPECT_EQ(batch.count, std::ssize(batch.labels));
    }
    EXPECT_EQ(missing, 2) << "once in each of two epochs";
    ASSERT_THAT(loader->skipped(), SizeIs(1));
    EXPECT_EQ(loader->skipped_warning(),
              "1 picture cannot be read and is left out; the first: " + quoted(broken) +
                  " is not a JPEG picture that can be read: it is cut off");
  }
}

TEST_F(LoaderFolderTest, BrokenPicturesAreCountedOnceAndTheFirstIsNamed) {
  write_picture_folder(folder_, 5);
  for (const char* name : {"1.PNG", "2.jpg"}) write_file(folder_ / "train" / "cat" / name, "broken");
  write_file(folder_ / "val" / "ant" / "0.jpg", "");
  const auto loader = make_loader(source(), recipe(), {.batch = 4, .workers = 2});
  for (std::uint64_t index = 0; index < 16; ++index) training(*loader, index);
  EXPECT_THAT(loader->skipped(), SizeIs(2));
  for (int round = 0; round < 2; ++round) {
    std::int64_t seen = 0;
    for (std::int64_t first = 0; first < 9; first += 4)
      seen += evaluation(*loader, Part::validation, first, 4).count;
    EXPECT_EQ(seen, 8);
  }
  EXPECT_THAT(loader->skipped(), SizeIs(3));
  EXPECT_THAT(
      loader->skipped_warning(),
      StartsWith("3 pictures cannot be read and are left out; the first: " + loader->skipped()[0].what));
  EXPECT_THAT(loader->skipped()[0].what, HasSubstr("/cat/"));
}

TEST_F(LoaderFolderTest, StrictRefusesABrokenPicture) {
  write_picture_folder(folder_, 5);
  const fs::path broken = folder_ / "train" / "cat" / "2.jpg";
  write_file(broken, "broken");
  for (const int workers : {0, 2}) {
    const auto loader = make_loader(source(), recipe(), {.batch = 4, .workers = workers, .strict = true});
    std::vector<std::string> errors;
    for (std::uint64_t index = 0; index < 4; ++index) {
      Batch batch;
      const Status status = loader->training_batch(index, batch);
      if (!status.ok()) errors.push_back(status.message());
    }
    EXPECT_THAT(errors, ElementsAre(quoted(broken) + " is neither a JPEG nor a PNG picture"));
  }
}

TEST_F(LoaderFolderTest, ABatchOfBrokenPicturesIsEmpty) {
  write_picture_folder(folder_, 3);
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "train"))
    if (entry.is_regular_file()) write_file(entry.path(), "broken");
  const auto loader = make_loader(source(), recipe(), {.batch = 4, .workers = 2});
  const Batch batch = training(*loader, 0);
  EXPECT_EQ(batch.count, 0);
  EXPECT_THAT(batch.pixels, IsEmpty());
  EXPECT_THAT(batch.partner_labels, IsEmpty());
  EXPECT_THAT(batch.skipped, SizeIs(4));
}

TEST_F(LoaderFolderTest, PicturesOfEveryShapeComeToTheirSize) {
  for (const char* part : {"train", "val"}) {
    int number = 0;
    for (const Size size : {Size{1, 1}, Size{1, 900}, Size{900, 1}, Size{3, 2}, Size{400, 300}})
      for (const int channels : {1, 3})
        write_file(folder_ / part / "one" / (std::to_string(number++) + ".png"),
                   png_of(formula_picture(size.width, size.height, channels)));
  }
  for (const Crop crop : {Crop::none, Crop::random_resized}) {
    AugmentationOptions augmentation = recipe();
    augmentation.crop = crop;
    const auto loader = make_loader(source(), augmentation, {.batch = 10, .workers = 2, .strict = true});
    for (std::uint64_t index = 0; index < 20; ++index) {
      const Batch batch = training(*loader, index);
      ASSERT_EQ(batch.count, 10);
      ASSERT_EQ(batch.pixels.size(), 10U * 3 * 16 * 16);
    }
    EXPECT_EQ(evaluation(*loader, Part::validation, 0, 10).count, 10);
  }
}

TEST_F(LoaderFolderTest, WhatAFolderOfFilesCannotHaveIsRefused) {
  write_picture_folder(folder_, 2);
  AugmentationOptions augmentation = recipe();
  augmentation.normalization = Normalization::data;
  EXPECT_THAT(Loader::create(source(), augmentation, {}).status().message(),
              HasSubstr("is not known without reading all of its files"));
  augmentation = recipe();
  augmentation.evaluation_resize = 0;
  EXPECT_THAT(Loader::create(source(), augmentation, {}).status().message(),
              HasSubstr("eval_resize is 0, which needs pictures of 16 x 16"));
  augmentation = recipe();
  augmentation.crop = Crop::padded;
  EXPECT_THAT(Loader::create(source(), augmentation, {}).status().message(),
              HasSubstr("have sizes of their own"));
}

}  // namespace
}  // namespace gradstab::lab::vision
