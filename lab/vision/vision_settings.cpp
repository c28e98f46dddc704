#include "lab/vision/vision_settings.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab::vision {
namespace {

template <class Enum>
using Names = std::array<std::pair<std::string_view, Enum>, 3>;

constexpr Names<Crop> kCrops = {
    {{"none", Crop::none}, {"random_resized", Crop::random_resized}, {"padded", Crop::padded}}};
constexpr Names<Policy> kPolicies = {{{"none", Policy::none},
                                      {"random_augment", Policy::random_augment},
                                      {"trivial_augment", Policy::trivial_augment}}};
constexpr Names<Normalization> kNormalizations = {
    {{"none", Normalization::none}, {"imagenet", Normalization::imagenet}, {"data", Normalization::data}}};
constexpr std::array<std::string_view, 3> kDecayed = {"all", "not_norms", "matrices"};

/// The enumerator of a valid name.
template <class Enum>
Enum named(const Names<Enum>& names, const std::string& name) {
  return std::ranges::find(names, name, [](const auto& entry) { return entry.first; })->second;
}

template <class Enum>
Status is_known(std::string_view setting, const Names<Enum>& names, const std::string& name) {
  std::vector<std::string_view> known;
  for (const auto& entry : names) known.push_back(entry.first);
  return one_of(setting, known, name);
}

const NamedModel& named_model(const VisionSettings& settings) {
  return *find_model(settings.model);
}

Status names_are_known(const VisionSettings& settings) {
  std::vector<std::string_view> models;
  for (const NamedModel& model : named_models()) models.push_back(model.name);
  GRADSTAB_RETURN_IF_ERROR(one_of("model", models, settings.model));
  GRADSTAB_RETURN_IF_ERROR(is_known("crop", kCrops, settings.crop));
  GRADSTAB_RETURN_IF_ERROR(is_known("policy", kPolicies, settings.policy));
  GRADSTAB_RETURN_IF_ERROR(is_known("normalization", kNormalizations, settings.normalization));
  return one_of("decayed", kDecayed, settings.decayed);
}

Status numbers_are_in_range(const VisionSettings& settings) {
  constexpr std::int64_t kLargestPicture = 16384;
  GRADSTAB_RETURN_IF_ERROR(within("validation", 0, 1'000'000'000, settings.validation));
  GRADSTAB_RETURN_IF_ERROR(within("picture_size", 0, kLargestPicture, settings.picture_size));
  GRADSTAB_RETURN_IF_ERROR(within("eval_size", 0, kLargestPicture, settings.eval_size));
  GRADSTAB_RETURN_IF_ERROR(within("eval_resize", 0, kLargestPicture, settings.eval_resize));
  GRADSTAB_RETURN_IF_ERROR(within("padding", 0, kLargestPicture, settings.padding));
  GRADSTAB_RETURN_IF_ERROR(within("policy_count", 1, 100, settings.policy_count));
  GRADSTAB_RETURN_IF_ERROR(within("policy_magnitude", 0, 30, settings.policy_magnitude));
  GRADSTAB_RETURN_IF_ERROR(within("repeats", 1, 1000, settings.repeats));
  GRADSTAB_RETURN_IF_ERROR(within("workers", 0, 1024, settings.workers));
  if (!(settings.crop_least > 0.0 && settings.crop_least <= 1.0))
    return invalid_setting("crop_least", "above 0 and at most 1", settings.crop_least);
  for (const auto& [name, value] : {std::pair{"flip", settings.flip}, {"erase", settings.erase}})
    if (!(value >= 0.0 && value <= 1.0)) return invalid_setting(name, "in [0, 1]", value);
  GRADSTAB_RETURN_IF_ERROR(not_negative("mixup", settings.mixup));
  GRADSTAB_RETURN_IF_ERROR(not_negative("cutmix", settings.cutmix));
  GRADSTAB_RETURN_IF_ERROR(decay("label_smoothing", settings.label_smoothing));
  GRADSTAB_RETURN_IF_ERROR(decay("dropout", settings.dropout));
  GRADSTAB_RETURN_IF_ERROR(decay("drop_path", settings.drop_path));
  return positive("layer_scale", settings.layer_scale);
}

/// Settings of what the run does not have.
Status have_an_effect(const VisionSettings& settings) {
  const VisionSettings defaults;
  const auto expect_default = [](std::string_view name, const auto& value, const auto& default_value,
                                 std::string_view where) -> Status {
    if (value == default_value) return {};
    return invalid_setting(name, fmt::format("{} {}", default_value, where), value);
  };
  if (settings.crop != "padded")
    GRADSTAB_RETURN_IF_ERROR(
        expect_default("padding", settings.padding, defaults.padding, "without crop=padded"));
  if (settings.crop != "random_resized")
    GRADSTAB_RETURN_IF_ERROR(expect_default("crop_least", settings.crop_least, defaults.crop_least,
                                            "without crop=random_resized"));
  if (settings.policy != "random_augment") {
    GRADSTAB_RETURN_IF_ERROR(expect_default("policy_count", settings.policy_count, defaults.policy_count,
                                            "without policy=random_augment"));
    GRADSTAB_RETURN_IF_ERROR(expect_default("policy_magnitude", settings.policy_magnitude,
                                            defaults.policy_magnitude, "without policy=random_augment"));
  }
  const ModelConfig config = named_model(settings).config();
  if (!std::holds_alternative<VitConfig>(config))
    GRADSTAB_RETURN_IF_ERROR(expect_default("dropout", settings.dropout, defaults.dropout,
                                            "for this model, which has no dropout"));
  if (std::holds_alternative<ResNetConfig>(config))
    GRADSTAB_RETURN_IF_ERROR(expect_default("drop_path", settings.drop_path, defaults.drop_path,
                                            "for this model, which has no stochastic depth"));
  if (!std::holds_alternative<ConvNextConfig>(config))
    GRADSTAB_RETURN_IF_ERROR(expect_default("layer_scale", settings.layer_scale, defaults.layer_scale,
                                            "for this model, which has no such scales"));
  return {};
}

}  // namespace

const VisionSettings& vision_settings(const TrainOptions& options) {
  return options.task.as<VisionSettings>();
}

int training_size(const VisionSettings& settings) {
  return static_cast<int>(settings.picture_size > 0 ? settings.picture_size : named_model(settings).picture);
}

int evaluation_size(const VisionSettings& settings) {
  return settings.eval_size > 0 ? static_cast<int>(settings.eval_size) : training_size(settings);
}

ModelConfig model_config(const VisionSettings& settings) {
  ModelConfig config = named_model(settings).config();
  if (auto* const vit = std::get_if<VitConfig>(&config)) {
    vit->picture = training_size(settings);
    vit->dropout = settings.dropout;
    vit->drop_path = settings.drop_path;
  }
  if (auto* const convnext = std::get_if<ConvNextConfig>(&config)) {
    convnext->layer_scale = settings.layer_scale;
    convnext->drop_path = settings.drop_path;
  }
  return config;
}

ModelConfig model_config(const VisionSettings& settings, std::int64_t channels, std::int64_t classes) {
  ModelConfig config = model_config(settings);
  std::visit(
      [&](auto& one) {
        one.channels = channels;
        one.classes = classes;
      },
      config);
  return config;
}

SourceOptions source_options(const VisionSettings& settings) {
  return {.data = settings.data, .validation = settings.validation};
}

LoaderOptions loader_options(const TrainOptions& options) {
  const VisionSettings& settings = vision_settings(options);
  LoaderOptions loader;
  loader.batch = options.batch;
  loader.seed = options.seed;
  loader.workers = static_cast<int>(settings.workers);
  loader.drop_last = settings.drop_last;
  loader.strict = settings.strict;
  return loader;
}

AugmentationOptions evaluation_augmentation(const VisionSettings& settings) {
  AugmentationOptions augmentation;
  augmentation.size = evaluation_size(settings);
  augmentation.crop = Crop::none;
  augmentation.flip = 0.0;
  augmentation.normalization = named(kNormalizations, settings.normalization);
  augmentation.evaluation_resize = static_cast<int>(settings.eval_resize);
  return augmentation;
}

AugmentationOptions training_augmentation(const VisionSettings& settings) {
  AugmentationOptions augmentation = evaluation_augmentation(settings);
  augmentation.size = training_size(settings);
  augmentation.crop = named(kCrops, settings.crop);
  augmentation.padding = static_cast<int>(settings.padding);
  augmentation.scale_least = settings.crop_least;
  augmentation.flip = settings.flip;
  augmentation.policy = named(kPolicies, settings.policy);
  augmentation.random_augment_count = static_cast<int>(settings.policy_count);
  augmentation.random_augment_magnitude = static_cast<int>(settings.policy_magnitude);
  augmentation.erase = settings.erase;
  augmentation.mixup_alpha = settings.mixup;
  augmentation.cutmix_alpha = settings.cutmix;
  augmentation.repeats = static_cast<int>(settings.repeats);
  return augmentation;
}

Status validate_vision(const TrainOptions& options) {
  const VisionSettings& settings = vision_settings(options);
  if (settings.data.empty()) return invalid_setting("data", "a folder or fashion-mnist", "an empty name");
  GRADSTAB_RETURN_IF_ERROR(names_are_known(settings));
  GRADSTAB_RETURN_IF_ERROR(numbers_are_in_range(settings));
  GRADSTAB_RETURN_IF_ERROR(have_an_effect(settings));

  const ModelConfig config = model_config(settings);
  if (const auto* const vit = std::get_if<VitConfig>(&config)) {
    if (vit->picture % vit->patch != 0)
      return invalid_setting(
          "picture_size",
          fmt::format("a multiple of {}, the size of {}'s patches", vit->patch, settings.model),
          vit->picture);
    if (evaluation_size(settings) != training_size(settings))
      return invalid_setting("eval_size", "0 for a ViT, whose positions are those of the training pictures",
                             settings.eval_size);
  }
  for (const auto& [name, size] :
       {std::pair{"picture_size", training_size(settings)}, {"eval_size", evaluation_size(settings)}})
    GRADSTAB_RETURN_IF_ERROR(at_least(name, smallest_picture(config), size));
  if (settings.eval_resize > 0)
    GRADSTAB_RETURN_IF_ERROR(at_least("eval_resize", evaluation_size(settings), settings.eval_resize));
  GRADSTAB_RETURN_IF_ERROR(validate(config));
  GRADSTAB_RETURN_IF_ERROR(training_augmentation(settings).validate());
  GRADSTAB_RETURN_IF_ERROR(loader_options(options).validate());
  if (options.precision != "fp32")
    return invalid_setting("precision", "fp32 for this task", "'" + options.precision + "'");
  return {};
}

}  // namespace gradstab::lab::vision
