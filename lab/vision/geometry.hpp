// Pictures cut, flipped, sheared, shifted and turned.
#pragma once

#include <array>

#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// Left and right exchanged.
void flip(Picture& picture) noexcept;

/// What a picture shows in a window of `size`, whose top left corner is at (left, top) of it; 0 where the
/// window leaves it.
void cut(const Picture& picture, int left, int top, Size size, Picture& out);

/// Where the point (x, y) of the new picture lies in the old one: (a x + b y + c, d x + e y + f). Points are
/// counted from the top left corner of the top left pixel.
struct Affine {
  double a = 1, b = 0, c = 0, d = 0, e = 1, f = 0;
};

Affine shear_x(double magnitude) noexcept;
Affine shear_y(double magnitude) noexcept;
/// The picture moves so many pixels to the right and down.
Affine shift(double right, double down) noexcept;
/// By so many degrees, counter-clockwise, around the centre.
Affine rotation(double degrees, Size size) noexcept;

/// Bilinear between the centres of pixels, of which the outer ones go on to the border, cut to whole numbers;
/// 0 for what lies outside. The numbers are those of Pillow.
void transform(const Picture& picture, const Affine& where, Picture& out);

}  // namespace gradstab::lab::vision
