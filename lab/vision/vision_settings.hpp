// The settings of the vision task. No torch.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "gradstab/status.hpp"
#include "lab/train/train_options.hpp"
#include "lab/vision/augmentation.hpp"
#include "lab/vision/loader.hpp"
#include "lab/vision/model_configs.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// What the classifier and its pictures are, beside what every run has.
struct VisionSettings {
  std::string data = kFashionMnistSource;
  std::string model = "vit-mini";
  std::int64_t validation = 5000;

  std::int64_t picture_size = 0;
  std::int64_t eval_size = 0;
  std::int64_t eval_resize = 0;

  std::string crop = "padded";
  std::int64_t padding = 2;
  double crop_least = 0.08;
  double flip = 0.5;
  std::string policy = "none";
  std::int64_t policy_count = 2;
  std::int64_t policy_magnitude = 9;
  double erase = 0.0;
  double mixup = 0.0;
  double cutmix = 0.0;
  std::int64_t repeats = 1;
  std::string normalization = "data";

  double label_smoothing = 0.0;
  double dropout = 0.0;
  double drop_path = 0.0;
  double layer_scale = 1e-6;
  std::string decayed = "all";

  bool drop_last = false;
  bool strict = false;
  std::int64_t workers = 1;
};

/// Calls visit(name, field, help) for each of them, in the order of the help text.
template <class Settings, class Visit>
requires std::same_as<std::remove_const_t<Settings>, VisionSettings>
void visit_settings(Settings& settings, Visit visit) {
  visit(
      "data", settings.data,
      "pictures: a folder of IDX files, of CIFAR's binary files or of train/CLASS/ and val/CLASS/ with JPEG "
      "and PNG files, or fashion-mnist (Debian's dataset-fashion-mnist)");
  visit("model", settings.model,
        "vit-mini, vit-ti16, vit-s16, vit-b16, convnext-mini, convnext-t, resnet-mini, resnet18-cifar, "
        "resnet18 "
        "or resnet50");
  visit("validation", settings.validation,
        "training pictures that are set aside for validation, if the data have no validation part; 0: the "
        "test part serves both");
  visit("picture_size", settings.picture_size,
        "width and height of training pictures, in pixels; 0: the model's usual size");
  visit("eval_size", settings.eval_size, "the same in evaluations; 0: as in training");
  visit("eval_resize", settings.eval_resize,
        "pixels of the shorter side before evaluation cuts out the middle; 0: pictures stay as they are");
  visit("crop", settings.crop,
        "random part of a training picture: none, padded (with a border of zeros) or random_resized");
  visit("padding", settings.padding, "padded: pixels of the border");
  visit("crop_least", settings.crop_least, "random_resized: the smallest part, as a share of the area");
  visit("flip", settings.flip, "probability that a training picture is flipped left to right");
  visit("policy", settings.policy,
        "operations on training pictures: none, random_augment or trivial_augment");
  visit("policy_count", settings.policy_count, "random_augment: operations on a picture");
  visit("policy_magnitude", settings.policy_magnitude, "random_augment: their strength, from 0 to 30");
  visit("erase", settings.erase, "probability that a rectangle of a training picture is erased");
  visit("mixup", settings.mixup,
        "mix each training picture with another one, with a weight from the beta distribution of this "
        "parameter; 0: off");
  visit("cutmix", settings.cutmix,
        "put a rectangle of another picture into each, with an area from the beta distribution of this "
        "parameter; 0: off");
  visit("repeats", settings.repeats,
        "how many times in a row a picture comes, each time with a new augmentation; epochs stay as long");
  visit("normalization", settings.normalization,
        "data (mean and deviation of the training part), imagenet (those of ImageNet) or none");
  visit("label_smoothing", settings.label_smoothing, "share of each target that is spread over all classes");
  visit("dropout", settings.dropout, "ViT: rate of dropout");
  visit("drop_path", settings.drop_path,
        "ViT, ConvNeXt: rate of stochastic depth in the last block; it rises from 0 in the first");
  visit("layer_scale", settings.layer_scale, "ConvNeXt: initial value of the scales of blocks");
  visit("decayed", settings.decayed,
        "what weight decay acts on: all, not_norms, or matrices (neither norms nor biases nor positions)");
  visit("drop_last", settings.drop_last, "leave out the smaller last batch of an epoch");
  visit("strict", settings.strict,
        "stop at a picture that cannot be read; otherwise it is left out, with a warning");
  visit("workers", settings.workers,
        "threads that prepare batches ahead; 0: the trainer does it itself. The weights do not depend on it");
}

/// Those of a run of this task. Throws std::bad_cast for another task's.
const VisionSettings& vision_settings(const TrainOptions& options);

/// The named model, for pictures of so many channels and classes.
ModelConfig model_config(const VisionSettings& settings, std::int64_t channels, std::int64_t classes);

/// The same with the channels and classes that it was published with: the data's are known with them.
ModelConfig model_config(const VisionSettings& settings);

/// Pixels of a side in training and in evaluations.
int training_size(const VisionSettings& settings);
int evaluation_size(const VisionSettings& settings);

SourceOptions source_options(const VisionSettings& settings);
LoaderOptions loader_options(const TrainOptions& options);

/// Pictures of the validation part that are looked at in the middle of a run, at most. The first of a part
/// are a fair sample of it.
inline constexpr std::int64_t kMostEvaluatedQuickly = 5000;

/// In training, and, without anything random, in evaluations.
AugmentationOptions training_augmentation(const VisionSettings& settings);
AugmentationOptions evaluation_augmentation(const VisionSettings& settings);

/// Of options whose other settings are valid. Errors name the setting, its value and what was expected.
Status validate_vision(const TrainOptions& options);

}  // namespace gradstab::lab::vision
