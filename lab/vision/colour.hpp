// Operations on the values of pixels, whose numbers are those of Pillow.
#pragma once

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

// Each of the next four goes from another picture through this one: factor 0 gives the other, 1 this one, and
// a larger one goes beyond, cut at 0 and 255.

/// From black.
void adjust_brightness(Picture& picture, float factor);
/// From the picture in grey (ITU-R 601-2 luma). A grey picture stays as it is.
void adjust_saturation(Picture& picture, float factor);
/// From the mean of the picture in grey, rounded.
void adjust_contrast(Picture& picture, float factor);
/// From the picture smoothed by a 3x3 kernel with 5 in its centre and 1 around it; the outer pixels stay as
/// they are. `scratch` is memory.
void adjust_sharpness(Picture& picture, float factor, Picture& scratch);

/// Keeps the upper bits of each value, 0 to 8 of them.
void posterize(Picture& picture, int bits);
/// Values from the threshold on become 255 minus them.
void solarize(Picture& picture, double threshold);
/// Stretches each channel from its smallest and largest value to 0 and 255.
void auto_contrast(Picture& picture);
/// Makes the histogram of each channel flat.
void equalize(Picture& picture);

}  // namespace gradstab::lab::vision
