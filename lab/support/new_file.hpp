// A file that is written under a temporary name and takes its own at the end.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"

namespace gradstab::lab {

/// Its temporary name stands beside the file and is locked while it is written, so that what a killed writer
/// left can be told from what a living one writes. Gone with this object unless committed.
class NewFile {
 public:
  /// Begins a file that replaces `target`, or what that links to, and has the permissions of what is there.
  static Result<NewFile> create(const std::filesystem::path& target);

  NewFile(NewFile&& other) noexcept = default;
  NewFile& operator=(NewFile&& other) = delete;
  ~NewFile();

  /// Buffered; the pieces end up in the file in call order. Errors name the file.
  Status write(std::string_view bytes);
  /// Ends the buffering so far.
  Status flush();
  /// For reading back what was flushed, and for writing at a place of its own.
  int descriptor() const noexcept { return file_.number(); }
  /// Syncs the file to disk and gives it its name. Call once, last.
  Status commit();

 private:
  NewFile(std::filesystem::path target, std::filesystem::path temporary, Descriptor file)
      : target_(std::move(target)), temporary_(std::move(temporary)), file_(std::move(file)) {}

  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty once it has been renamed
  Descriptor file_;
  std::string buffer_;
};

/// Removes the temporary files in `folder` (empty: the current one) whose writers were killed: all of them,
/// or those for the file called `name`. Where the file system has no locks, nobody can tell, and they stay.
void remove_abandoned_files(const std::filesystem::path& folder, std::string_view name = {});

}  // namespace gradstab::lab
