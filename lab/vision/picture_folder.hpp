// Folders of picture files: train/CLASS/FILE and val/CLASS/FILE or test/CLASS/FILE.
#pragma once

#include <filesystem>
#include <memory>

#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

/// Whether the folder has a folder train.
bool is_picture_folder(const std::filesystem::path& folder);

/// The pictures below a folder; their content is not looked at. Rules:
///   - Classes are the folders in train/, or links to folders, in the order of their names' bytes.
///   - A class that val/ or test/ has and train/ has not is an error. One that is missing there is a note,
///   and
///     shifts no label.
///   - Pictures are the files, or links to files, that lie directly in a class's folder and end with .jpg,
///     .jpeg or .png in any case. Other files, and folders inside, are not read, and a note counts them;
///     names that begin with a dot are not even counted.
///   - A class of train/ without a picture is an error.
///   - Where there is no val/, `validation` training pictures are, as SourceOptions says. Where there is no
///     test/, val/ is the test part, too.
/// Errors, which name the path: io_error for what cannot be listed; invalid_argument for the rules above.
Result<std::shared_ptr<const PictureSource>> read_picture_folder(const std::filesystem::path& folder,
                                                                 std::int64_t validation);

}  // namespace gradstab::lab::vision
