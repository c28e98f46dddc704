// Pictures of one size that are held in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// A set of labelled pictures, one behind the other.
struct PackedPictures {
  std::string name;              ///< of the file, for messages
  std::string labels_name = {};  ///< of the labels' file where they have one of their own
  Size size;
  int channels = 0;
  std::vector<std::uint8_t> pixels;  ///< as Picture has them, for each picture
  std::vector<std::uint8_t> labels;

  std::int64_t count() const noexcept { return static_cast<std::int64_t>(labels.size()); }
  std::size_t picture_bytes() const noexcept {
    return static_cast<std::size_t>(size.width) * static_cast<std::size_t>(size.height) *
           static_cast<std::size_t>(channels);
  }
};

/// A source of them. Of `info` the name, path, classes and SHA-256 must be there; the rest is filled in.
/// `validation` is that of SourceOptions. Errors: corrupt_data where the sets differ in size or channels, or
/// a label is not below the number of classes, with its place; invalid_argument as PartOrder says.
Result<std::shared_ptr<const PictureSource>> make_packed_source(SourceInfo info, PackedPictures training,
                                                                PackedPictures test, std::int64_t validation);

}  // namespace gradstab::lab::vision
