#include "lab/vision/picture_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "lab/support/files.hpp"
#include "lab/support/sha256.hpp"
#include "lab/support/utf8.hpp"
#include "lab/vision/part_order.hpp"
#include "lab/vision/read_picture.hpp"

namespace gradstab::lab::vision {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, kPartCount> kFolders = {"train", "val", "test"};
constexpr std::array<std::string_view, 3> kExtensions = {".jpg", ".jpeg", ".png"};
constexpr std::string_view kExtensionWords = ".jpg, .jpeg or .png";

struct PictureFile {
  std::string name;
  std::uint32_t label = 0;
};

/// One of train/, val/ and test/.
struct Set {
  fs::path folder;
  std::vector<PictureFile> files;
  std::int64_t other_files = 0, folders_inside = 0;
};

Status cannot_list(const fs::path& folder, const std::error_code& error) {
  return io_error("list", folder, error.value());
}

bool is_hidden(const fs::path& path) {
  return path.filename().native().starts_with('.');
}

bool has_picture_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char byte) { return static_cast<char>(std::tolower(byte)); });
  return std::ranges::find(kExtensions, extension) != kExtensions.end();
}

/// The names in a folder, sorted by their bytes, without hidden ones.
Result<std::vector<fs::path>> list(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> paths;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (!is_hidden(entry->path())) paths.push_back(entry->path());
  if (error) return cannot_list(folder, error);
  std::ranges::sort(paths, {}, [](const fs::path& path) { return path.native(); });
  return paths;
}

/// The class folders in one of the folders. A link that leads nowhere is an error, since a class may be
/// meant.
Result<std::vector<fs::path>> class_folders(const fs::path& folder, Set& set) {
  const auto paths = list(folder);
  if (!paths) return paths.status();
  std::vector<fs::path> folders;
  for (const fs::path& path : *paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found)
      return Status(
          StatusCode::io_error,
          fmt::format("'{}' is a link that leads nowhere, expected the folder of a class", path.string()));
    if (error) return io_error("look at", path, error.value());
    if (fs::is_directory(status))
      folders.push_back(path);
    else
      ++set.other_files;
  }
  return folders;
}

/// Adds the pictures of a class, and what is to be hashed of them: "train/cat/7.jpg 1234". A link that leads
/// nowhere is a picture that cannot be read.
Status add_class(const fs::path& folder, std::uint32_t label, Set& set, Sha256& sha256) {
  const auto paths = list(folder);
  if (!paths) return paths.status();
  for (const fs::path& path : *paths) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      ++set.folders_inside;
    } else if (!has_picture_name(path)) {
      ++set.other_files;
    } else {
      const std::uintmax_t size = fs::is_regular_file(status) ? fs::file_size(path, error) : 0;
      sha256.update(fmt::format("{}/{}/{} {}\n", set.folder.filename().string(), folder.filename().string(),
                                path.filename().string(), error ? 0 : size));
      set.files.push_back({path.filename().string(), label});
    }
  }
  return {};
}

std::string display_name(const fs::path& class_folder) {
  std::string name;
  append_valid_utf8(class_folder.filename().native(), name);
  return name;
}

class FolderSource final : public PictureSource {
 public:
  FolderSource(SourceInfo info, PartOrder order, std::array<Set, kPartCount> sets,
               std::vector<std::string> class_folders)
      : info_(std::move(info)),
        order_(order),
        sets_(std::move(sets)),
        class_folders_(std::move(class_folders)) {}

  const SourceInfo& info() const noexcept override { return info_; }
  int label(Part part, std::int64_t index) const noexcept override {
    return static_cast<int>(file(order_.place(part, index)).label);
  }
  std::string describe(Part part, std::int64_t index) const override {
    return fmt::format("'{}'", path(part, index).string());
  }
  Status read(Part part, std::int64_t index, const RegionChooser& choose, ReadBuffers& buffers,
              Picture& picture) const override {
    const fs::path file = path(part, index);
    const auto bytes = read_file(file, kPictureFile);
    if (!bytes) return bytes.status();
    const Status status = read_picture(*bytes, choose, buffers, picture);
    if (status.ok()) return {};
    return {status.code(), fmt::format("'{}' {}", file.string(), status.message())};
  }

 private:
  const PictureFile& file(const PartOrder::Place& place) const noexcept {
    return sets_[static_cast<std::size_t>(place.set)].files[static_cast<std::size_t>(place.number)];
  }
  fs::path path(Part part, std::int64_t index) const {
    const PartOrder::Place place = order_.place(part, index);
    const PictureFile& found = file(place);
    return sets_[static_cast<std::size_t>(place.set)].folder / class_folders_[found.label] / found.name;
  }

  SourceInfo info_;
  PartOrder order_;
  std::array<Set, kPartCount> sets_;
  std::vector<std::string> class_folders_;  // names as they are on disk, by label
};

Status refuse(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

void note_what_is_left_out(const Set& set, SourceInfo& info) {
  if (set.other_files > 0)
    info.notes.push_back(fmt::format(
        "In '{}', {} that {} not end with {} {} left out.", set.folder.string(),
        set.other_files == 1 ? "1 file" : fmt::format("{} files", set.other_files),
        set.other_files == 1 ? "does" : "do", kExtensionWords, set.other_files == 1 ? "is" : "are"));
  if (set.folders_inside > 0)
    info.notes.push_back(
        fmt::format("In '{}', {} inside of classes {} not looked into.", set.folder.string(),
                    set.folders_inside == 1 ? "1 folder" : fmt::format("{} folders", set.folders_inside),
                    set.folders_inside == 1 ? "is" : "are"));
}

}  // namespace

bool is_picture_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder / kFolders.front(), ignored);
}

Result<std::shared_ptr<const PictureSource>> read_picture_folder(const fs::path& folder,
                                                                 std::int64_t validation) {
  SourceInfo info;
  info.name = "folder";
  info.path = folder.string();
  info.channels = 3;
  Sha256 sha256;
  std::array<Set, kPartCount> sets;
  std::vector<std::string> names;  // of class folders
  std::array<std::int64_t, kPartCount> stored{};
  for (std::size_t i = 0; i < sets.size(); ++i) {
    Set& set = sets[i];
    set.folder = folder / kFolders[i];
    const bool is_training = i == 0;
    std::error_code ignored;
    if (!is_training && !fs::exists(set.folder, ignored)) continue;
    const auto folders = class_folders(set.folder, set);
    if (!folders) return folders.status();
    if (folders->empty())
      return refuse(fmt::format("'{}' has no folder, expected one for each class", set.folder.string()));
    if (is_training)
      for (const fs::path& path : *folders) {
        names.push_back(path.filename().string());
        info.classes.push_back(display_name(path));
      }
    std::vector<bool> seen(names.size(), false);
    for (const fs::path& path : *folders) {
      const auto found = std::ranges::lower_bound(names, path.filename().string());
      if (found == names.end() || *found != path.filename().string())
        return refuse(fmt::format("the class '{}' is in '{}', but not in '{}'", display_name(path),
                                  set.folder.string(), sets[0].folder.string()));
      const auto label = static_cast<std::size_t>(found - names.begin());
      seen[label] = true;
      const std::size_t before = set.files.size();
      GRADSTAB_RETURN_IF_ERROR(add_class(path, static_cast<std::uint32_t>(label), set, sha256));
      if (set.files.size() > before) continue;
      if (is_training)
        return refuse(fmt::format("'{}' has no picture, expected files that end with {} directly in it",
                                  path.string(), kExtensionWords));
      seen[label] = false;
    }
    for (std::size_t label = 0; label < seen.size(); ++label)
      if (!seen[label])
        info.notes.push_back(
            fmt::format("'{}' has no picture of the class '{}'.", set.folder.string(), info.classes[label]));
    note_what_is_left_out(set, info);
    stored[i] = static_cast<std::int64_t>(set.files.size());
    if (stored[i] == 0) return refuse(fmt::format("'{}' has no picture", set.folder.string()));
  }
  const auto order = PartOrder::divide(stored, validation);
  if (!order)
    return Status(order.status().code(), fmt::format("'{}': {}", folder.string(), order.status().message()));
  info.pictures = order->sizes();
  info.validation_is_test = order->validation_is_test();
  info.sha256 = to_hex(sha256.digest());
  info.sha256_of = "the list of files with their sizes, sorted; what is in them is not read for it";
  return std::shared_ptr<const PictureSource>(
      std::make_shared<FolderSource>(std::move(info), *order, std::move(sets), std::move(names)));
}

}  // namespace gradstab::lab::vision
