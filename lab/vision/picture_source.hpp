// Labelled pictures: where they come from, in parts for training, validation and test.
//
// A source is read by many threads at once and holds no state that reading changes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/json.hpp"
#include "lab/vision/picture.hpp"

namespace gradstab::lab::vision {

/// What pictures are for.
enum class Part { training, validation, test };
inline constexpr int kPartCount = 3;

/// "training", "validation", "test"
const char* to_string(Part part) noexcept;

/// The source that needs no path.
inline constexpr const char* kFashionMnistSource = "fashion-mnist";
/// Where Debian's package dataset-fashion-mnist puts it.
inline constexpr const char* kFashionMnistFolder = "/usr/share/datasets/fashion-mnist";

/// Which pictures, and how they are divided.
struct SourceOptions {
  /// "fashion-mnist" for Debian's package, or a folder: four IDX files (plain or gzip), the binary files of
  /// CIFAR-10 or CIFAR-100, or train/CLASS/ and val/CLASS/ or test/CLASS/ with JPEG and PNG files. What a
  /// folder holds is seen by its names.
  std::string data = kFashionMnistSource;
  /// How many training pictures are kept for validation. They are the end of a permutation whose key is a
  /// constant, so that every run has the same parts, whatever its seed. 0: the test part is validation, too,
  /// as in torchvision's references. A folder with val/ uses that, and this number says nothing.
  std::int64_t validation = 5000;
};

/// What is known of a source before a picture is read.
struct SourceInfo {
  std::string name;                  ///< "fashion-mnist", "idx", "cifar-10", "cifar-100" or "folder"
  std::string path;                  ///< the folder
  std::vector<std::string> classes;  ///< names, by label
  int channels = 0;                  ///< of every picture: 1 or 3
  Size size;                         ///< of every picture; 0 x 0 where they differ
  std::array<std::int64_t, kPartCount> pictures{};  ///< by Part
  bool validation_is_test = false;                  ///< the same pictures serve both
  std::string sha256;                               ///< 64 hexadecimal digits
  std::string sha256_of;                            ///< what that is the SHA-256 of, in words
  std::vector<std::string> notes;                   ///< whole sentences for whoever looks at the data
  /// Mean and standard deviation of each channel of the training part, on the scale of [0, 1]. Empty for
  /// folders of files, which are not read to know them.
  std::vector<double> mean, deviation;
};

/// What run.json has of it.
Json to_json(const SourceInfo& info);

/// Given the size of a picture, the part of it that is wanted. It lies inside.
using RegionChooser = std::function<Rectangle(Size)>;

/// Memory that reading uses again and again. One per thread.
struct ReadBuffers {
  std::vector<std::uint8_t> rows;
};

/// Labelled pictures in three parts. Each part is in an order that a constant key has shuffled, so that the
/// first of a part are a fair sample of it, and nothing of it depends on a run's seed.
class PictureSource {
 public:
  PictureSource() = default;
  PictureSource(const PictureSource&) = delete;
  PictureSource& operator=(const PictureSource&) = delete;
  virtual ~PictureSource() = default;

  virtual const SourceInfo& info() const noexcept = 0;
  std::int64_t size(Part part) const noexcept { return info().pictures[static_cast<std::size_t>(part)]; }
  /// From 0; below the number of classes. 0 <= index < size(part), here and below.
  virtual int label(Part part, std::int64_t index) const noexcept = 0;
  /// What a message calls it: a path, or the number of the picture in its file.
  virtual std::string describe(Part part, std::int64_t index) const = 0;
  /// Decodes what `choose` wants of the picture into `picture`, which has that size. Errors, which name the
  /// picture: io_error, corrupt_data for what is no picture or cut off, unsupported for one of too many
  /// pixels.
  virtual Status read(Part part, std::int64_t index, const RegionChooser& choose, ReadBuffers& buffers,
                      Picture& picture) const = 0;
};

/// The source that the options name. Errors: invalid_argument for a folder that holds no known kind of data
/// or for more validation pictures than there are; io_error where nothing is there, which says how to get
/// Debian's package; corrupt_data as idx.hpp, cifar.hpp and picture_folder.hpp say.
Result<std::shared_ptr<const PictureSource>> open_source(const SourceOptions& options);

}  // namespace gradstab::lab::vision
