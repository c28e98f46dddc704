// LibTorch's archives as plain data: tensors, numbers and texts by name. The code in them is never looked at.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// A contiguous tensor inside an archive.
struct ArchiveTensor {
  std::string_view storage;  ///< "FloatStorage"
  std::vector<std::int64_t> sizes;
  std::string_view bytes;
};

struct ArchiveMember;

/// A value of an archive; texts and tensors point into it.
struct ArchiveValue {
  using List = std::vector<ArchiveValue>;
  using Object = std::vector<ArchiveMember>;  ///< in the order of the archive

  std::variant<std::monostate, bool, std::int64_t, double, std::string_view, ArchiveTensor, List, Object> is;

  /// The member of an object; null if there is none, or this is no object.
  const ArchiveValue* member(std::string_view name) const;
  template <class T>
  const T* as() const {
    return std::get_if<T>(&is);
  }
};

/// A value of an object, by its name. Not a std::pair, which Clang 14 wants to know in full inside
/// ArchiveValue.
struct ArchiveMember {
  std::string_view name;
  ArchiveValue value;
};

/// The module that torch::save or OutputArchive::save_to wrote. `archive` must outlive the result.
///
/// Such a file is a ZIP archive of a pickle, of raw tensors, and of TorchScript, which LibTorch compiles and
/// runs when it loads the file. Here the pickle is read by a machine that knows what these archives consist
/// of and nothing else: no name in it leads to a function. Errors (corrupt_data): anything unexpected, any
/// size or offset that does not fit.
Result<ArchiveValue> read_torch_archive(std::string_view archive);

}  // namespace gradstab::lab
