// The binary files of CIFAR-10 and CIFAR-100: for each picture one or two labels, then 32x32 bytes of red, of
// green and of blue.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "lab/vision/packed_pictures.hpp"

namespace gradstab::lab::vision {

/// Appends the pictures of one file. Of each picture's `labels` bytes (1 in CIFAR-10; 2 in CIFAR-100, the
/// coarse label and the fine one) the last counts. `name` begins messages. Errors: corrupt_data for a file
/// that is empty or no whole number of pictures.
Status append_cifar(std::string_view bytes, const std::string& name, int labels, PackedPictures& pictures);

/// Whether the folder has the first training file by its usual name.
bool is_cifar_folder(const std::filesystem::path& folder);

/// data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt; or train.bin, test.bin and
/// fine_label_names.txt. Errors: io_error where a file is missing; corrupt_data as above, and for another
/// number of class names than 10 or 100.
Result<std::shared_ptr<const PictureSource>> read_cifar_folder(const std::filesystem::path& folder,
                                                               std::int64_t validation);

}  // namespace gradstab::lab::vision
