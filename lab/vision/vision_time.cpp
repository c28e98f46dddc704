#include "lab/vision/vision_time.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "lab/support/arithmetic.hpp"
#include "lab/vision/vision_settings.hpp"

namespace gradstab::lab::vision {
namespace {

/// Seconds per picture of 28 x 28 pixels. Measured with the recipes cpu-vit and cpu-resnet, augmentation
/// included; of ConvNeXt, the model alone.
struct Measured {
  std::string_view model;
  double training, evaluation;
};
constexpr Measured kMeasured[] = {
    {"vit-mini", 480e-6, 150e-6}, {"convnext-mini", 800e-6, 200e-6}, {"resnet-mini", 310e-6, 100e-6}};

constexpr double kStartSeconds = 1.5;  // loading LibTorch, unpacking the pictures and their SHA-256

// Of Fashion-MNIST.
constexpr std::int64_t kTrainingPictures = 60000;
constexpr std::int64_t kTestPictures = 10000;
constexpr std::int64_t kSide = 28;

}  // namespace

std::optional<double> vision_core_seconds(const TrainOptions& options) {
  const VisionSettings& settings = vision_settings(options);
  if (settings.data != kFashionMnistSource || training_size(settings) != kSide ||
      evaluation_size(settings) != kSide)
    return {};
  for (const Measured& measured : kMeasured) {
    if (measured.model != settings.model) continue;
    const std::int64_t training = kTrainingPictures - settings.validation;
    const std::int64_t of_update = options.batch * options.accumulation;
    const std::int64_t updates =
        options.epochs > 0 ? options.epochs * divided_up(training, of_update) : options.steps;
    const std::int64_t trained = options.epochs > 0 ? options.epochs * training : options.steps * of_update;
    const std::int64_t validation = settings.validation > 0 ? settings.validation : kTestPictures;
    const std::int64_t every = options.eval_every > 0 ? options.eval_every : divided_up(training, of_update);
    const std::int64_t validated = divided_up(updates, every) * std::min(validation, kMostEvaluatedQuickly);
    return kStartSeconds + static_cast<double>(trained) * measured.training +
           static_cast<double>(validated + kTestPictures) * measured.evaluation;
  }
  return {};
}

}  // namespace gradstab::lab::vision
