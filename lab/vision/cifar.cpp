#include "lab/vision/cifar.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "lab/support/files.hpp"
#include "lab/support/sha256.hpp"
#include "lab/support/utf8.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr int kChannels = 3;
constexpr std::size_t kPlane = std::size_t{kSide} * kSide;

/// What a folder of one kind has.
struct Layout {
  std::string_view name;
  std::vector<std::string_view> training;
  std::string_view test, class_names;
  int labels;
  std::size_t classes;
};
const std::vector<Layout>& layouts() {
  static const std::vector<Layout> list = {
      {"cifar-10",
       {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
       "test_batch.bin",
       "batches.meta.txt",
       1,
       10},
      {"cifar-100", {"train.bin"}, "test.bin", "fine_label_names.txt", 2, 100}};
  return list;
}

const Layout* layout_of(const fs::path& folder) {
  std::error_code ignored;
  for (const Layout& layout : layouts())
    if (fs::exists(folder / layout.training.front(), ignored)) return &layout;
  return nullptr;
}

Result<std::vector<std::string>> read_class_names(const fs::path& path, std::size_t classes, Sha256& sha256) {
  const auto text = read_file(path, kDescriptionFile);
  if (!text) return text.status();
  sha256.update(*text);
  std::vector<std::string> names;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) append_valid_utf8(line, names.emplace_back());
  }
  if (names.size() != classes)
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' has {} class names, expected {}", path.string(), names.size(), classes));
  return names;
}

}  // namespace

Status append_cifar(std::string_view bytes, const std::string& name, int labels, PackedPictures& pictures) {
  const std::size_t record = static_cast<std::size_t>(labels) + kChannels * kPlane;
  if (bytes.empty() || bytes.size() % record != 0)
    return {StatusCode::corrupt_data,
            fmt::format("{}: has {} bytes, expected a multiple of the {} of a picture", name, bytes.size(),
                        record)};
  pictures.size = {kSide, kSide};
  pictures.channels = kChannels;
  const std::size_t count = bytes.size() / record;
  std::size_t at = pictures.pixels.size();
  pictures.pixels.resize(at + count * kChannels * kPlane);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view one = bytes.substr(i * record, record);
    pictures.labels.push_back(static_cast<std::uint8_t>(one[static_cast<std::size_t>(labels) - 1]));
    const std::string_view planes = one.substr(static_cast<std::size_t>(labels));
    for (std::size_t pixel = 0; pixel < kPlane; ++pixel)
      for (std::size_t c = 0; c < kChannels; ++c)
        pictures.pixels[at++] = static_cast<std::uint8_t>(planes[c * kPlane + pixel]);
  }
  return {};
}

bool is_cifar_folder(const fs::path& folder) {
  return layout_of(folder) != nullptr;
}

Result<std::shared_ptr<const PictureSource>> read_cifar_folder(const fs::path& folder,
                                                               std::int64_t validation) {
  const Layout* const layout = layout_of(folder);
  if (layout == nullptr)
    return Status(StatusCode::io_error,
                  fmt::format("'{}' has no binary files of CIFAR-10 or CIFAR-100", folder.string()));
  Sha256 sha256;
  PackedPictures training, test;
  training.name = fmt::format("the training files in '{}'", folder.string());
  test.name = fmt::format("'{}'", (folder / layout->test).string());
  const auto add = [&](std::string_view file, PackedPictures& set) -> Status {
    const fs::path path = folder / file;
    const auto bytes = read_file(path, kPictureTableFile);
    if (!bytes) return bytes.status();
    sha256.update(*bytes);
    return append_cifar(*bytes, fmt::format("'{}'", path.string()), layout->labels, set);
  };
  for (const std::string_view file : layout->training) GRADSTAB_RETURN_IF_ERROR(add(file, training));
  GRADSTAB_RETURN_IF_ERROR(add(layout->test, test));
  auto names = read_class_names(folder / layout->class_names, layout->classes, sha256);
  if (!names) return names.status();
  SourceInfo info;
  info.name = layout->name;
  info.path = folder.string();
  info.classes = *std::move(names);
  info.sha256 = to_hex(sha256.digest());
  info.sha256_of = "the files: training pictures, test pictures, class names";
  return make_packed_source(std::move(info), std::move(training), std::move(test), validation);
}

}  // namespace gradstab::lab::vision
