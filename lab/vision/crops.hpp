// Which part of a picture is taken.
#pragma once

#include "lab/vision/augmentation.hpp"
#include "lab/vision/draws.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// The region of a random resized crop: a part of the area and a width over height by the options; where ten
/// draws do not fit the picture, its centre, as large as the ratios allow.
Rectangle draw_resized_crop(Draws& draws, const AugmentationOptions& options, Size picture) noexcept;

/// Without an allowed ratio: the centre of the picture that is as large as the ratios allow.
Rectangle central_crop(const AugmentationOptions& options, Size picture) noexcept;

/// How evaluation looks at a picture: resized to `resized`, of which it takes `window`.
struct EvaluationView {
  Size resized;
  Rectangle window;
};

/// The shorter side becomes options.evaluation_resize (0: the picture stays as large as it is), the longer
/// one in proportion, rounded down; then the centre of options.size.
EvaluationView evaluation_view(const AugmentationOptions& options, Size picture) noexcept;

}  // namespace gradstab::lab::vision
