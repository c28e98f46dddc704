// What is done to a picture between its file and the model, as torchvision's reference recipes do it.
//
// In this order, in training: crop, flip, a policy (RandAugment or TrivialAugment), scaling to [0, 1],
// normalization, random erasing; then mixup or cutmix of the batch. In evaluation: resize, centre crop,
// scaling, normalization.
#pragma once

#include <cstdint>

#include "gradstab/status.hpp"

namespace gradstab::lab::vision {

/// How a training picture comes to its size.
enum class Crop {
  none,            ///< as in evaluation
  random_resized,  ///< a random part, resized (Szegedy et al. 2015)
  padded,          ///< a random part of the picture with a border of zeros; for pictures of `size` x `size`
};

/// Operations chosen at random for each picture.
enum class Policy {
  none,
  random_augment,   ///< RandAugment (Cubuk et al. 2020)
  trivial_augment,  ///< TrivialAugment, wide (Mueller and Hutter 2021)
};

/// What is subtracted from the channels and what they are divided by, on the scale of [0, 1].
enum class Normalization {
  none,
  imagenet,  ///< mean 0.485 0.456 0.406, deviation 0.229 0.224 0.225; three channels
  data,      ///< of the training part; not for folders of files
};

struct AugmentationOptions {
  /// Width and height of what the model sees.
  int size = 28;

  Crop crop = Crop::padded;
  /// Of Crop::random_resized: the part's share of the picture's area, and its width over its height, whose
  /// logarithm is uniform.
  double scale_least = 0.08, scale_most = 1;
  double ratio_least = 3.0 / 4, ratio_most = 4.0 / 3;
  /// Of Crop::padded: the width of the border in pixels.
  int padding = 2;
  /// Probability of a left-right flip.
  double flip = 0.5;

  Policy policy = Policy::none;
  /// Of RandAugment: how many operations, and how strong, of 0 to 30.
  int random_augment_count = 2, random_augment_magnitude = 9;

  /// Probability that a rectangle is erased (Zhong et al. 2020), which covers 2 % to 33 % of the area with a
  /// height over width of 0.3 to 3.3. Erased values are 0 after normalization.
  double erase = 0;

  /// Parameter of the beta distribution of mixing weights; 0: no mixing. With both, each batch takes one of
  /// them by the throw of a coin, as torchvision's references do. The partner of a picture is the one before
  /// it in the batch, that of the first the last; with repeats, the one so many places before it.
  double mixup_alpha = 0, cutmix_alpha = 0;

  /// Repeated augmentation (Hoffer et al. 2020): each picture stands so many times in a row, augmented anew.
  /// An epoch has as many samples as without, of fewer different pictures.
  int repeats = 1;

  Normalization normalization = Normalization::data;

  /// The shorter side of a picture after the resize of evaluation, from which the centre of `size` x `size`
  /// is taken. 0: no resize, for pictures of that size.
  int evaluation_resize = 0;

  /// Errors (invalid_argument) name the first value that is out of its range.
  Status validate() const;
};

}  // namespace gradstab::lab::vision
