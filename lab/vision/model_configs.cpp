#include "lab/vision/model_configs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab::vision {
namespace {

VitConfig vit_16(std::int64_t width, std::int64_t heads) {
  VitConfig config;
  config.width = width;
  config.heads = heads;
  config.hidden = 4 * width;
  return config;
}

ModelConfig vit_mini() {
  VitConfig config;
  config.channels = 1;
  config.classes = 10;
  config.picture = 28;
  config.patch = 7;
  config.width = 64;
  config.layers = 4;
  config.heads = 4;
  config.hidden = 128;
  return config;
}

ModelConfig convnext_mini() {
  ConvNextConfig config;
  config.channels = 1;
  config.classes = 10;
  config.stem = 2;
  config.widths = {24, 48, 96};
  config.blocks = {1, 1, 1};
  return config;
}

ResNetConfig resnet_18() {
  ResNetConfig config;
  config.bottlenecks = false;
  config.blocks = {2, 2, 2, 2};
  return config;
}

ModelConfig resnet_18_cifar() {
  ResNetConfig config = resnet_18();
  config.stem = ResNetStem::narrow;
  config.classes = 10;
  return config;
}

ModelConfig resnet_mini() {
  ResNetConfig config;
  config.channels = 1;
  config.classes = 10;
  config.stem = ResNetStem::halving;
  config.bottlenecks = false;
  config.widths = {16, 32, 64};
  config.blocks = {1, 1, 1};
  return config;
}

std::int64_t convolution(std::int64_t in, std::int64_t out, std::int64_t side) {
  return in * out * side * side;
}
std::int64_t linear(std::int64_t in, std::int64_t out) {
  return in * out + out;
}
std::int64_t norm(std::int64_t width) {
  return 2 * width;
}

std::int64_t count_of(const VitConfig& config) {
  const std::int64_t width = config.width;
  const std::int64_t layer = 2 * norm(width) + linear(width, 3 * width) + linear(width, width) +
                             linear(width, config.hidden) + linear(config.hidden, width);
  return convolution(config.channels, width, config.patch) + width + width + config.tokens() * width +
         config.layers * layer + norm(width) + linear(width, config.classes);
}

std::int64_t count_of(const ConvNextConfig& config) {
  std::int64_t count = 0;
  std::int64_t in = config.channels;
  for (std::size_t stage = 0; stage < config.widths.size(); ++stage) {
    const std::int64_t width = config.widths[stage];
    count += stage == 0 ? convolution(in, width, config.stem) + width + norm(width)
                        : norm(in) + convolution(in, width, 2) + width;
    count += config.blocks[stage] * (convolution(1, width, 7) + width + norm(width) +
                                     linear(width, 4 * width) + linear(4 * width, width) + width);
    in = width;
  }
  return count + norm(in) + linear(in, config.classes);
}

std::int64_t count_of(const ResNetConfig& config) {
  std::int64_t in = config.widths.front();
  std::int64_t count = convolution(config.channels, in, config.stem == ResNetStem::wide ? 7 : 3) + norm(in);
  for (std::size_t stage = 0; stage < config.widths.size(); ++stage) {
    const std::int64_t width = config.widths[stage];
    const std::int64_t out = config.leaves(width);
    for (std::int64_t block = 0; block < config.blocks[stage]; ++block) {
      count += config.bottlenecks
                   ? convolution(in, width, 1) + convolution(width, width, 3) + convolution(width, out, 1) +
                         2 * norm(width) + norm(out)
                   : convolution(in, width, 3) + convolution(width, width, 3) + 2 * norm(width);
      if (in != out || (stage > 0 && block == 0)) count += convolution(in, out, 1) + norm(out);
      in = out;
    }
  }
  return count + linear(in, config.classes);
}

double activations_of(const VitConfig& config, std::int64_t) {
  // Of each token a layer leaves two sums and their norms, queries, keys, values and what was mixed, and the
  // feed-forward block before and after GELU; and of each pair of tokens and head the weights of attention.
  const double tokens = static_cast<double>(config.tokens());
  const double per_token = 8.0 * static_cast<double>(config.width) + 2.0 * static_cast<double>(config.hidden);
  return static_cast<double>(config.layers) *
         (tokens * per_token + 2.0 * static_cast<double>(config.heads) * tokens * tokens);
}

double activations_of(const ConvNextConfig& config, std::int64_t picture) {
  double numbers = 0.0;
  double side = static_cast<double>(picture / config.stem);
  for (std::size_t stage = 0; stage < config.widths.size(); ++stage) {
    // Of each pixel a block leaves its input, what the norm was given and gave, and 4 + 4 + 1 times the
    // width.
    numbers += static_cast<double>(config.blocks[stage] * config.widths[stage]) * side * side * 12.0;
    side = std::floor(side / 2.0);
  }
  return numbers;
}

double activations_of(const ResNetConfig& config, std::int64_t picture) {
  double side = static_cast<double>(picture);
  if (config.stem != ResNetStem::narrow) side = std::ceil(side / 2.0);
  double numbers = static_cast<double>(config.widths.front()) * side * side * 3.0;
  if (config.stem == ResNetStem::wide) side = std::ceil(side / 2.0);
  for (std::size_t stage = 0; stage < config.widths.size(); ++stage) {
    if (stage > 0) side = std::ceil(side / 2.0);
    // Each convolution leaves its output and that of the norm behind it.
    const double width = static_cast<double>(config.widths[stage]);
    numbers += static_cast<double>(config.blocks[stage]) * side * side * width *
               (config.bottlenecks ? 2.0 * 6.0 + 4.0 : 2.0 * 2.0 + 1.0);
  }
  return numbers;
}

std::int64_t smallest_of(const VitConfig& config) {
  return config.patch;
}
std::int64_t smallest_of(const ConvNextConfig& config) {
  return config.stem << (config.widths.size() - 1);
}
std::int64_t smallest_of(const ResNetConfig&) {
  return 1;  // padding leaves a pixel of everything
}

Status stages_valid(const std::vector<std::int64_t>& widths, const std::vector<std::int64_t>& blocks) {
  if (widths.empty() || widths.size() != blocks.size())
    return invalid_setting("blocks",
                           fmt::format("one number for each of {} widths, at least one", widths.size()),
                           blocks.size());
  for (const std::int64_t width : widths) GRADSTAB_RETURN_IF_ERROR(at_least("width", 1, width));
  for (const std::int64_t count : blocks) GRADSTAB_RETURN_IF_ERROR(at_least("blocks", 1, count));
  return {};
}

Status of_kind(const VitConfig& config) {
  for (const auto& [name, value] : {std::pair{"patch", config.patch},
                                    {"width", config.width},
                                    {"layers", config.layers},
                                    {"heads", config.heads},
                                    {"hidden", config.hidden}})
    GRADSTAB_RETURN_IF_ERROR(at_least(name, 1, value));
  if (config.picture < config.patch || config.picture % config.patch != 0)
    return invalid_setting(
        "picture", fmt::format("a multiple of the model's patches, which are {} pixels wide", config.patch),
        config.picture);
  if (config.width % config.heads != 0)
    return invalid_setting("width", fmt::format("a multiple of heads = {}", config.heads), config.width);
  GRADSTAB_RETURN_IF_ERROR(decay("dropout", config.dropout));
  return decay("drop_path", config.drop_path);
}
Status of_kind(const ConvNextConfig& config) {
  GRADSTAB_RETURN_IF_ERROR(at_least("stem", 1, config.stem));
  GRADSTAB_RETURN_IF_ERROR(positive("layer_scale", config.layer_scale));
  GRADSTAB_RETURN_IF_ERROR(decay("drop_path", config.drop_path));
  return stages_valid(config.widths, config.blocks);
}
Status of_kind(const ResNetConfig& config) {
  return stages_valid(config.widths, config.blocks);
}

}  // namespace

const std::vector<NamedModel>& named_models() {
  static const std::vector<NamedModel> models = {
      {"vit-mini", "ViT with patches of 7", 28, vit_mini},
      {"vit-ti16", "ViT-Ti/16", 224, [] { return ModelConfig(vit_16(192, 3)); }},
      {"vit-s16", "ViT-S/16", 224, [] { return ModelConfig(vit_16(384, 6)); }},
      {"vit-b16", "ViT-B/16", 224, [] { return ModelConfig(vit_16(768, 12)); }},
      {"convnext-mini", "ConvNeXt of three blocks", 28, convnext_mini},
      {"convnext-t", "ConvNeXt-T", 224, [] { return ModelConfig(ConvNextConfig()); }},
      {"resnet-mini", "ResNet of three blocks", 28, resnet_mini},
      {"resnet18-cifar", "ResNet-18 for 32x32 pixels", 32, resnet_18_cifar},
      {"resnet18", "ResNet-18", 224, [] { return ModelConfig(resnet_18()); }},
      {"resnet50", "ResNet-50", 224, [] { return ModelConfig(ResNetConfig()); }}};
  return models;
}

const NamedModel* find_model(std::string_view name) {
  const auto& models = named_models();
  const auto found = std::ranges::find(models, name, &NamedModel::name);
  return found == models.end() ? nullptr : &*found;
}

std::string names_of_models() {
  std::string names;
  for (const NamedModel& model : named_models()) {
    if (!names.empty()) names += ", ";
    names += model.name;
  }
  return names;
}

std::int64_t parameter_count(const ModelConfig& config) noexcept {
  return std::visit([](const auto& one) { return count_of(one); }, config);
}

double activations_per_picture(const ModelConfig& config, std::int64_t picture) noexcept {
  return std::visit([&](const auto& one) { return activations_of(one, picture); }, config);
}

std::int64_t smallest_picture(const ModelConfig& config) noexcept {
  return std::visit([](const auto& one) { return smallest_of(one); }, config);
}

std::int64_t last_side(const ResNetConfig& config, std::int64_t picture) noexcept {
  std::int64_t side = picture;
  const auto halve = [&] { side = (side + 1) / 2; };
  if (config.stem != ResNetStem::narrow) halve();
  if (config.stem == ResNetStem::wide) halve();
  for (std::size_t stage = 1; stage < config.widths.size(); ++stage) halve();
  return side;
}

Status validate(const ModelConfig& config) {
  return std::visit(
      [](const auto& one) -> Status {
        GRADSTAB_RETURN_IF_ERROR(at_least("channels", 1, one.channels));
        GRADSTAB_RETURN_IF_ERROR(at_least("classes", 1, one.classes));
        return of_kind(one);
      },
      config);
}

}  // namespace gradstab::lab::vision
