// Sizes of the image classifiers, and their names. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::vision {

/// A vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929). The sizes are those of ViT-B/16.
struct VitConfig {
  std::int64_t channels = 3;
  std::int64_t classes = 1000;
  std::int64_t picture = 224;  ///< pixels of a side
  std::int64_t patch = 16;     ///< pixels of a patch's side
  std::int64_t width = 768;
  std::int64_t layers = 12;
  std::int64_t heads = 12;
  std::int64_t hidden = 3072;  ///< of the feed-forward block
  double dropout = 0.0;
  double drop_path = 0.0;  ///< rate of stochastic depth in the last layer; it rises linearly from 0

  /// Patches and the class token.
  std::int64_t tokens() const noexcept { return (picture / patch) * (picture / patch) + 1; }
};

/// ConvNeXt (Liu et al. 2022, arXiv 2201.03545). The sizes are those of ConvNeXt-T.
struct ConvNextConfig {
  std::int64_t channels = 3;
  std::int64_t classes = 1000;
  std::int64_t stem = 4;  ///< pixels of a side of what the stem makes one
  std::vector<std::int64_t> widths = {96, 192, 384, 768};
  std::vector<std::int64_t> blocks = {3, 3, 9, 3};
  double layer_scale = 1e-6;  ///< at the start
  double drop_path = 0.1;     ///< rate of stochastic depth in the last block; it rises linearly from 0
};

/// How a ResNet begins.
enum class ResNetStem : std::uint8_t {
  wide,    ///< 7x7 convolution with stride 2, then 3x3 max-pooling with stride 2: for large pictures
  narrow,  ///< 3x3 convolution with stride 1: for pictures of 32x32
  halving  ///< 3x3 convolution with stride 2
};

/// ResNet (He et al. 2016, arXiv 1512.03385), with the stride of a bottleneck in its 3x3 convolution. The
/// sizes are those of ResNet-50.
struct ResNetConfig {
  std::int64_t channels = 3;
  std::int64_t classes = 1000;
  ResNetStem stem = ResNetStem::wide;
  bool bottlenecks = true;  ///< 1x1, 3x3 and 1x1 convolutions, the last four times as wide; else two of 3x3
  std::vector<std::int64_t> widths = {64, 128, 256, 512};
  std::vector<std::int64_t> blocks = {3, 4, 6, 3};

  /// Channels that a stage of this width leaves.
  std::int64_t leaves(std::int64_t width) const noexcept { return bottlenecks ? 4 * width : width; }
};

using ModelConfig = std::variant<VitConfig, ConvNextConfig, ResNetConfig>;

/// A size that has a name.
struct NamedModel {
  std::string_view name;   ///< "vit-b16", as in settings
  std::string_view title;  ///< "ViT-B/16"
  std::int64_t picture;    ///< pixels of a side that it is meant for
  ModelConfig (*config)();
};

/// All of them, in the order of the help text.
const std::vector<NamedModel>& named_models();

/// Null if there is none of that name.
const NamedModel* find_model(std::string_view name);

/// "vit-mini, vit-ti16, ..."
std::string names_of_models();

/// Parameters of the model, buffers not counted.
std::int64_t parameter_count(const ModelConfig& config) noexcept;

/// Numbers that backward needs of one picture of `picture` x `picture` pixels, at the very least: what the
/// convolutions, linear layers and norms were given.
double activations_per_picture(const ModelConfig& config, std::int64_t picture) noexcept;

/// The smallest picture that leaves something for the last layer.
std::int64_t smallest_picture(const ModelConfig& config) noexcept;

/// Pixels of a side that the last stage has, of pictures of `picture` x `picture` pixels.
std::int64_t last_side(const ResNetConfig& config, std::int64_t picture) noexcept;

/// Errors name what does not fit, its value and what was expected.
Status validate(const ModelConfig& config);

}  // namespace gradstab::lab::vision
