// One picture out of the bytes of a JPEG or PNG file.
#pragma once

#include <cstdint>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// A picture of more pixels is refused before memory is taken for it: 11,585 x 11,585.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 27;

/// The region of the picture that `choose` wants, as red, green and blue, exactly as if the whole picture
/// were decoded and cut. Whether it is JPEG or PNG is seen by its first bytes. What other pictures have
/// becomes RGB:
///   - grey is repeated; palettes are looked up; 1, 2 and 4 bits are spread over 0 to 255; of 16 bits the
///   upper
///     8 count;
///   - alpha, transparent colours, gamma and colour profiles are ignored;
///   - CMYK, in a JPEG, is taken to be inverted, as Adobe writes it, and becomes (255 - C)(255 - K) / 255 and
///     likewise;
///   - the orientation in EXIF is ignored.
/// That is what Pillow's convert("RGB") does, but for grey of 16 bits, which Pillow clips at 255.
/// Errors: corrupt_data for what is no picture, damaged or cut off (no end marker, though the region may not
/// need what is missing); unsupported for more than `most_pixels`, or a JPEG of two or more than four
/// channels.
Status read_picture(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers,
                    Picture& picture, std::int64_t most_pixels = kMostPixels);

}  // namespace gradstab::lab::vision
