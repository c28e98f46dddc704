// IDX files, the format of MNIST and its likes: a magic number, sizes, bytes, all big-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/vision/packed_pictures.hpp"

namespace gradstab::lab::vision {

/// The pictures of an IDX file of unsigned bytes in three dimensions (magic 0x00000803); labels are left
/// empty. `name` begins messages. Errors: corrupt_data for another magic number, for sizes that are 0 or
/// above kMostIdxSide, and for a file that has not exactly as many bytes as its sizes say.
Result<PackedPictures> parse_idx_pictures(std::string_view bytes, const std::string& name);

/// Labels: unsigned bytes in one dimension (magic 0x00000801). Errors as above.
Result<std::vector<std::uint8_t>> parse_idx_labels(std::string_view bytes, const std::string& name);

inline constexpr std::uint32_t kMostIdxSide = 4096;

/// Whether the folder has a file of training pictures by its usual name.
bool is_idx_folder(const std::filesystem::path& folder);

/// The four files train- and t10k-images-idx3-ubyte and -labels-idx1-ubyte, plain or with .gz. There are as
/// many classes as the largest training label says. Fashion-MNIST is known by its content and gets its class
/// names; others have the numbers as names. Errors: io_error where a file is missing; corrupt_data as above,
/// and where there are not as many labels as pictures.
Result<std::shared_ptr<const PictureSource>> read_idx_folder(const std::filesystem::path& folder,
                                                             std::int64_t validation);

}  // namespace gradstab::lab::vision
