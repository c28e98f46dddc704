// loading_speed [WORKERS]: how many pictures a second are loaded, of JPEGs in a folder and of Fashion-MNIST.
//
// The JPEGs are made first: 64 of 500x375 at quality 95, noise over slopes, which is about as hard to unpack
// as a photograph of that size.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>

#include "lab/vision/loader.hpp"
#include "test_sources.hpp"
#include "tests/lab/support/test_folder.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr double kSeconds = 3;

double processor_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

void measure(const char* what, const std::shared_ptr<const PictureSource>& source,
             const AugmentationOptions& augmentation, const LoaderOptions& options) {
  const auto loader = Loader::create(source, augmentation, options).value();
  Batch batch;
  std::uint64_t index = 0;
  loader->training_batch(index++, batch).check();
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  const double processor_begin = processor_seconds();
  std::int64_t pictures = 0;
  double wall = 0;
  while (wall < kSeconds) {
    loader->training_batch(index++, batch).check();
    pictures += batch.count;
    wall = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  const double processor = processor_seconds() - processor_begin;
  std::printf("%-44s %9.0f a second, %9.0f a processor second\n", what, static_cast<double>(pictures) / wall,
              static_cast<double>(pictures) / processor);
}

void run(int workers) {
  const TestFolder folder;
  constexpr int kFiles = 64;
  std::size_t bytes = 0;
  for (int i = 0; i < kFiles; ++i) {
    // Noise of a few levels on slopes; the formula of the tests alone would be all noise.
    Picture picture = formula_picture(500, 375, 3, 1);
    for (int y = 0; y < picture.height; ++y)
      for (int x = 0; x < 3 * picture.width; ++x)
        picture.row(y)[x] = static_cast<std::uint8_t>(picture.row(y)[x] % 24 + (x / 3 + y + 8 * i) % 200);
    const std::string file = jpeg_of(picture, {.quality = 95});
    bytes += file.size();
    for (const char* part : {"train", "val"})
      write_file(folder.path() / part / (i % 2 == 0 ? "a" : "b") / (std::to_string(i) + ".jpg"), file);
  }
  std::printf("%d workers; JPEGs of %zu KiB on average\n", workers, bytes / kFiles / 1024);
  const auto jpegs = open_source({folder.path().string(), 0}).value();
  AugmentationOptions augmentation;
  augmentation.size = 224;
  augmentation.crop = Crop::random_resized;
  augmentation.normalization = Normalization::imagenet;
  augmentation.evaluation_resize = 256;
  const LoaderOptions options{.batch = 32, .workers = workers};
  measure("JPEG 500x375 to 224: crop, flip", jpegs, augmentation, options);
  augmentation.policy = Policy::trivial_augment;
  augmentation.erase = 0.1;
  augmentation.mixup_alpha = 0.2;
  augmentation.cutmix_alpha = 1;
  measure("  and TrivialAugment, erasing, mixing", jpegs, augmentation, options);
  augmentation.policy = Policy::random_augment;
  measure("  and RandAugment, erasing, mixing", jpegs, augmentation, options);

  if (!std::filesystem::exists(kFashionMnistFolder)) return;
  const auto fashion = open_source({}).value();
  AugmentationOptions small;
  const LoaderOptions batches{.batch = 128, .workers = workers};
  measure("Fashion-MNIST, batches of 128: crop, flip", fashion, small, batches);
  small.policy = Policy::trivial_augment;
  small.erase = 0.1;
  small.mixup_alpha = 0.2;
  measure("  and TrivialAugment, erasing, mixup", fashion, small, batches);
}

}  // namespace
}  // namespace gradstab::lab::vision

int main(int argc, char** argv) {
  gradstab::lab::vision::run(argc > 1 ? std::atoi(argv[1]) : 1);
}
