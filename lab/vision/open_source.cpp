// Which kind of data a folder holds.
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "lab/vision/cifar.hpp"
#include "lab/vision/idx.hpp"
#include "lab/vision/picture_folder.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

Result<std::shared_ptr<const PictureSource>> open_source(const SourceOptions& options) {
  namespace fs = std::filesystem;
  const bool is_debians = options.data == kFashionMnistSource;
  const fs::path folder = is_debians ? kFashionMnistFolder : options.data.c_str();
  if (options.data.empty())
    return Status(StatusCode::invalid_argument,
                  fmt::format("the data source is empty, expected '{}' or a folder", kFashionMnistSource));
  std::error_code ignored;
  if (!fs::exists(folder, ignored))
    return Status(StatusCode::io_error,
                  is_debians
                      ? fmt::format("Fashion-MNIST was not found; install the Debian package "
                                    "dataset-fashion-mnist, or pass a folder with its four files; looked "
                                    "for '{}'",
                                    folder.string())
                      : fmt::format("there is no folder '{}'", folder.string()));
  if (!fs::is_directory(folder, ignored))
    return Status(StatusCode::io_error, fmt::format("'{}' is not a folder", folder.string()));
  if (is_idx_folder(folder)) return read_idx_folder(folder, options.validation);
  if (is_cifar_folder(folder)) return read_cifar_folder(folder, options.validation);
  if (is_picture_folder(folder)) return read_picture_folder(folder, options.validation);
  return Status(
      StatusCode::invalid_argument,
      fmt::format(
          "'{}' holds no pictures of a known kind, expected IDX files such as train-images-idx3-ubyte, the "
          "binary files of CIFAR-10 or CIFAR-100, or train/CLASS/ and val/CLASS/ "
          "with pictures",
          folder.string()));
}

}  // namespace gradstab::lab::vision
