#include "lab/vision/idx.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "lab/support/files.hpp"
#include "lab/support/gzip.hpp"
#include "lab/support/sha256.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kPicturesMagic = 0x803, kLabelsMagic = 0x801;
constexpr std::string_view kTrainingPictures = "train-images-idx3-ubyte";
constexpr std::string_view kTrainingLabels = "train-labels-idx1-ubyte";
constexpr std::string_view kTestPictures = "t10k-images-idx3-ubyte";
constexpr std::string_view kTestLabels = "t10k-labels-idx1-ubyte";

/// Of the four unpacked files of Debian's dataset-fashion-mnist, one behind the other.
constexpr std::string_view kFashionMnistSha256 =
    "14410854cf7a289477dcfc7df3f8ec24741e281cdcc425ede0d9a748ca630214";
constexpr std::array kFashionMnistClasses = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                             "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i) value = value << 8U | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// What follows a header of this magic number and so many sizes, which are put into `sizes`.
Result<std::string_view> content(std::string_view bytes, const std::string& name, std::uint32_t magic,
                                 std::span<std::uint32_t> sizes) {
  const auto refuse = [&](std::string_view what) {
    return Status(StatusCode::corrupt_data, fmt::format("{}: {}", name, what));
  };
  const std::size_t header = 4 * (1 + sizes.size());
  if (bytes.size() < 4 || big_endian(bytes, 0) != magic)
    return refuse(
        fmt::format("is not an IDX file of unsigned bytes in {} dimension{}: it begins with {}, expected "
                    "0x{:08x}",
                    sizes.size(), sizes.size() == 1 ? "" : "s",
                    bytes.size() < 4 ? fmt::format("{} bytes", bytes.size())
                                     : fmt::format("0x{:08x}", big_endian(bytes, 0)),
                    magic));
  if (bytes.size() < header)
    return refuse(fmt::format("has {} bytes, expected a header of {}", bytes.size(), header));
  // Sides are bounded, so that no product overflows.
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = big_endian(bytes, 4 * (i + 1));
    if (sizes[i] == 0 || (i > 0 && sizes[i] > kMostIdxSide))
      return refuse(fmt::format("size {} of dimension {} must be from 1 to {}", sizes[i], i + 1,
                                i > 0 ? kMostIdxSide : ~std::uint32_t{0}));
    expected *= sizes[i];
  }
  bytes.remove_prefix(header);
  if (bytes.size() != expected)
    return refuse(fmt::format("has {} bytes after its header, which says {}", bytes.size(), expected));
  return bytes;
}

/// A file of the folder, plain or packed, and its name.
Result<std::pair<std::string, std::string>> read_either(const fs::path& folder, std::string_view name,
                                                        Sha256& sha256) {
  fs::path path = folder / name;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) path += ".gz";
  auto bytes = read_file(path, kPictureTableFile);
  if (!bytes) return bytes.status();
  auto plain = unpacked(*std::move(bytes), kPictureTableFile.max_bytes);
  if (!plain)
    return Status(plain.status().code(), fmt::format("'{}': {}", path.string(), plain.status().message()));
  sha256.update(*plain);
  return std::pair(*std::move(plain), fmt::format("'{}'", path.string()));
}

Result<PackedPictures> read_set(const fs::path& folder, std::string_view pictures_name,
                                std::string_view labels_name, Sha256& sha256) {
  const auto pictures = read_either(folder, pictures_name, sha256);
  if (!pictures) return pictures.status();
  auto set = parse_idx_pictures(pictures->first, pictures->second);
  if (!set) return set;
  const auto labels = read_either(folder, labels_name, sha256);
  if (!labels) return labels.status();
  auto list = parse_idx_labels(labels->first, labels->second);
  if (!list) return list.status();
  const std::size_t count = set->pixels.size() / set->picture_bytes();
  if (list->size() != count)
    return Status(StatusCode::corrupt_data,
                  fmt::format("{} has {} labels, and {} {} pictures", labels->second, list->size(),
                              pictures->second, count));
  set->labels = *std::move(list);
  set->labels_name = labels->second;
  return set;
}

}  // namespace

Result<PackedPictures> parse_idx_pictures(std::string_view bytes, const std::string& name) {
  std::array<std::uint32_t, 3> sizes{};
  const auto pixels = content(bytes, name, kPicturesMagic, sizes);
  if (!pixels) return pixels.status();
  PackedPictures set;
  set.name = name;
  set.size = {static_cast<int>(sizes[2]), static_cast<int>(sizes[1])};
  set.channels = 1;
  set.pixels.assign(pixels->begin(), pixels->end());
  return set;
}

Result<std::vector<std::uint8_t>> parse_idx_labels(std::string_view bytes, const std::string& name) {
  std::array<std::uint32_t, 1> sizes{};
  const auto labels = content(bytes, name, kLabelsMagic, sizes);
  if (!labels) return labels.status();
  return std::vector<std::uint8_t>(labels->begin(), labels->end());
}

bool is_idx_folder(const fs::path& folder) {
  std::error_code ignored;
  fs::path path = folder / kTrainingPictures;
  if (fs::exists(path, ignored)) return true;
  return fs::exists(path += ".gz", ignored);
}

Result<std::shared_ptr<const PictureSource>> read_idx_folder(const fs::path& folder,
                                                             std::int64_t validation) {
  Sha256 sha256;
  auto training = read_set(folder, kTrainingPictures, kTrainingLabels, sha256);
  if (!training) return training.status();
  auto test = read_set(folder, kTestPictures, kTestLabels, sha256);
  if (!test) return test.status();
  SourceInfo info;
  info.path = folder.string();
  info.sha256 = to_hex(sha256.digest());
  info.sha256_of = "the unpacked files: training pictures and labels, test pictures and labels";
  if (info.sha256 == kFashionMnistSha256) {
    info.name = kFashionMnistSource;
    info.classes.assign(kFashionMnistClasses.begin(), kFashionMnistClasses.end());
  } else {
    info.name = "idx";
    const int most = *std::ranges::max_element(training->labels);
    info.classes.reserve(static_cast<std::size_t>(most) + 1);
    for (int label = 0; label <= most; ++label) info.classes.push_back(std::to_string(label));
  }
  return make_packed_source(std::move(info), *std::move(training), *std::move(test), validation);
}

}  // namespace gradstab::lab::vision
