// The operations that RandAugment and TrivialAugment choose from.
#pragma once

#include "lab/vision/draws.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

enum class Operation {
  identity,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
  rotate,
  brightness,
  color,
  contrast,
  sharpness,
  posterize,
  solarize,
  auto_contrast,
  equalize,
};
inline constexpr int kOperationCount = 14;
/// Strengths of an operation, 0 to 30.
inline constexpr int kStrengths = 31;

/// Whether the magnitude's sign is thrown with a coin.
bool is_signed(Operation operation) noexcept;

/// An operation with its magnitude: a share of the width of a pixel (shear), pixels (translate), degrees
/// (rotate), what is added to a factor of 1 (brightness to sharpness), bits that are kept (posterize), a
/// threshold (solarize).
struct Step {
  Operation operation = Operation::identity;
  double magnitude = 0;
};

/// Does it. `scratch` is memory.
void apply(const Step& step, Picture& picture, Picture& scratch);

/// How strong operations can be.
struct PolicySpace {
  double shear = 0, translate_x = 0, translate_y = 0, rotate = 0, adjust = 0;
  int posterized_bits = 0;  ///< that the strongest one takes away
};

/// The magnitude of a strength, before its sign.
double magnitude(const PolicySpace& space, Operation operation, int strength) noexcept;

/// RandAugment's operations, for pictures of this size.
PolicySpace random_augment_space(Size size) noexcept;
/// TrivialAugment's.
PolicySpace trivial_augment_space() noexcept;

/// One operation, each as likely as any other, with this strength.
Step draw_random_augment(Draws& draws, int strength, Size size) noexcept;
/// One operation and one strength, each as likely as any other.
Step draw_trivial_augment(Draws& draws) noexcept;

}  // namespace gradstab::lab::vision
