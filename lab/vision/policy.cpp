#include "lab/vision/policy.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lab/vision/colour.hpp"
#include "lab/vision/geometry.hpp"

namespace gradstab::lab::vision {
namespace {

/// Number `index` of kStrengths from `first` to `last`, in the arithmetic of torch.linspace: in f32, from the
/// nearer end. Whole pixels and bits are cut from it, so its rounding counts.
double evenly(float first, float last, int index) {
  const float step = (last - first) / static_cast<float>(kStrengths - 1);
  return index < kStrengths / 2 ? first + step * static_cast<float>(index)
                                : last - step * static_cast<float>(kStrengths - 1 - index);
}

void replace(Picture& picture, const Affine& where, Picture& scratch) {
  transform(picture, where, scratch);
  std::swap(picture, scratch);
}

Step draw(Draws& draws, const PolicySpace& space, int strength, Operation operation) {
  Step step{operation, magnitude(space, operation, strength)};
  if (is_signed(operation) && draws.chance(0.5)) step.magnitude = -step.magnitude;
  return step;
}

Operation draw_operation(Draws& draws) {
  return static_cast<Operation>(draws.below(kOperationCount));
}

}  // namespace

bool is_signed(Operation operation) noexcept {
  return operation >= Operation::shear_x && operation <= Operation::sharpness;
}

void apply(const Step& step, Picture& picture, Picture& scratch) {
  const double magnitude = step.magnitude;
  const auto factor = static_cast<float>(1 + magnitude);
  switch (step.operation) {
    case Operation::identity:
      return;
    case Operation::shear_x:
      return replace(picture, shear_x(magnitude), scratch);
    case Operation::shear_y:
      return replace(picture, shear_y(magnitude), scratch);
    case Operation::translate_x:
      return replace(picture, shift(std::trunc(magnitude), 0), scratch);
    case Operation::translate_y:
      return replace(picture, shift(0, std::trunc(magnitude)), scratch);
    case Operation::rotate:
      return replace(picture, rotation(magnitude, picture.size()), scratch);
    case Operation::brightness:
      return adjust_brightness(picture, factor);
    case Operation::color:
      return adjust_saturation(picture, factor);
    case Operation::contrast:
      return adjust_contrast(picture, factor);
    case Operation::sharpness:
      return adjust_sharpness(picture, factor, scratch);
    case Operation::posterize:
      return posterize(picture, static_cast<int>(magnitude));
    case Operation::solarize:
      return solarize(picture, magnitude);
    case Operation::auto_contrast:
      return auto_contrast(picture);
    case Operation::equalize:
      return equalize(picture);
  }
}

double magnitude(const PolicySpace& space, Operation operation, int strength) noexcept {
  const auto up_to = [&](double most) { return evenly(0, static_cast<float>(most), strength); };
  switch (operation) {
    case Operation::identity:
    case Operation::auto_contrast:
    case Operation::equalize:
      return 0;
    case Operation::shear_x:
    case Operation::shear_y:
      return up_to(space.shear);
    case Operation::translate_x:
      return up_to(space.translate_x);
    case Operation::translate_y:
      return up_to(space.translate_y);
    case Operation::rotate:
      return up_to(space.rotate);
    case Operation::brightness:
    case Operation::color:
    case Operation::contrast:
    case Operation::sharpness:
      return up_to(space.adjust);
    case Operation::posterize: {
      const float bit = static_cast<float>(kStrengths - 1) / static_cast<float>(space.posterized_bits);
      return 8 - std::nearbyint(static_cast<float>(strength) / bit);
    }
    case Operation::solarize:
      return evenly(255, 0, strength);
  }
  return 0;
}

PolicySpace random_augment_space(Size size) noexcept {
  constexpr double kShare = 150.0 / 331.0;
  return {0.3, kShare * size.width, kShare * size.height, 30, 0.9, 4};
}

PolicySpace trivial_augment_space() noexcept {
  return {0.99, 32, 32, 135, 0.99, 6};
}

Step draw_random_augment(Draws& draws, int strength, Size size) noexcept {
  const Operation operation = draw_operation(draws);
  return draw(draws, random_augment_space(size), strength, operation);
}

Step draw_trivial_augment(Draws& draws) noexcept {
  const Operation operation = draw_operation(draws);
  const int strength = draws.below(kStrengths);
  return draw(draws, trivial_augment_space(), strength, operation);
}

}  // namespace gradstab::lab::vision
