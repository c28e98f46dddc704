#include "lab/support/zip.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "lab/support/byte_reader.hpp"

namespace gradstab::lab {
namespace {

// Records and fields as in section 4 of PKWARE's APPNOTE.TXT.
constexpr std::string_view kEndOfDirectory = "PK\x05\x06";
constexpr std::size_t kEndOfDirectoryBytes = 22;
constexpr std::string_view kZip64Locator = "PK\x06\x07";
constexpr std::size_t kZip64LocatorBytes = 20;
constexpr std::string_view kZip64EndOfDirectory = "PK\x06\x06";
constexpr std::string_view kDirectoryEntry = "PK\x01\x02";
constexpr std::string_view kLocalHeader = "PK\x03\x04";
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kStored = 0;
constexpr std::uint64_t kSeeExtra = std::numeric_limits<std::uint32_t>::max();

Status corrupt(const char* what) {
  return {StatusCode::corrupt_data, what};
}

/// What lies from `offset` on; empty beyond the end.
std::string_view from(std::string_view bytes, std::uint64_t offset) {
  return offset < bytes.size() ? bytes.substr(offset) : std::string_view();
}

struct Directory {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

std::optional<Directory> find_directory(std::string_view archive) {
  // Behind it is a comment at most, whose length has 16 bits.
  constexpr std::size_t kMostComment = std::numeric_limits<std::uint16_t>::max();
  const std::size_t tail = std::min(archive.size(), kEndOfDirectoryBytes + kMostComment);
  const std::size_t end = archive.rfind(kEndOfDirectory);
  if (end == std::string_view::npos || archive.size() - end > tail) return {};
  ByteReader record(archive.substr(end + kEndOfDirectory.size()));
  record.take(8);  // numbers of parts and of entries
  Directory directory;
  directory.bytes = record.number<std::uint32_t>();
  directory.offset = record.number<std::uint32_t>();
  if (!record.ok()) return {};
  if (end < kZip64LocatorBytes || !from(archive, end - kZip64LocatorBytes).starts_with(kZip64Locator))
    return directory;
  ByteReader locator(archive.substr(end - kZip64LocatorBytes + kZip64Locator.size()));
  locator.take(4);  // the part
  const std::string_view larger = from(archive, locator.number<std::uint64_t>());
  if (!larger.starts_with(kZip64EndOfDirectory)) return {};
  ByteReader record64(larger.substr(kZip64EndOfDirectory.size()));
  record64.take(8 + 2 + 2 + 4 + 4 + 8 + 8);  // its size, versions, parts, entries
  directory.bytes = record64.number<std::uint64_t>();
  directory.offset = record64.number<std::uint64_t>();
  if (!record64.ok()) return {};
  return directory;
}

/// Of one file, as its entry in the directory says.
struct Entry {
  std::string name;
  std::uint16_t method = 0;
  std::uint64_t packed_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // of the local header
};

/// Replaces the numbers that 32 bits could not hold.
void read_extra(std::string_view extra, Entry& entry) {
  ByteReader fields(extra);
  while (fields.ok() && fields.left() > 0) {
    const auto id = fields.number<std::uint16_t>();
    const std::string_view content = fields.take(fields.number<std::uint16_t>());
    if (id != kZip64Extra) continue;
    ByteReader numbers(content);
    for (std::uint64_t* number : {&entry.bytes, &entry.packed_bytes, &entry.offset})
      if (*number == kSeeExtra) *number = numbers.number<std::uint64_t>();
  }
}

std::optional<Entry> read_entry(ByteReader& directory) {
  if (directory.take(kDirectoryEntry.size()) != kDirectoryEntry) return {};
  Entry entry;
  directory.take(6);  // versions, flags
  entry.method = directory.number<std::uint16_t>();
  directory.take(8);  // time, checksum
  entry.packed_bytes = directory.number<std::uint32_t>();
  entry.bytes = directory.number<std::uint32_t>();
  const auto name_bytes = directory.number<std::uint16_t>();
  const auto extra_bytes = directory.number<std::uint16_t>();
  const auto comment_bytes = directory.number<std::uint16_t>();
  directory.take(8);  // part, attributes
  entry.offset = directory.number<std::uint32_t>();
  entry.name = directory.take(name_bytes);
  read_extra(directory.take(extra_bytes), entry);
  directory.take(comment_bytes);
  if (!directory.ok()) return {};
  return entry;
}

std::optional<std::string_view> content_of(std::string_view archive, const Entry& entry) {
  const std::string_view local = from(archive, entry.offset);
  if (!local.starts_with(kLocalHeader) || entry.packed_bytes != entry.bytes) return {};
  ByteReader header(local.substr(kLocalHeader.size()));
  header.take(22);  // what the directory says, too
  const auto name_bytes = header.number<std::uint16_t>();
  const auto extra_bytes = header.number<std::uint16_t>();
  header.take(name_bytes);
  header.take(extra_bytes);
  const std::string_view content = header.take(entry.bytes);
  if (!header.ok()) return {};
  return content;
}

}  // namespace

Result<std::map<std::string, std::string_view>> stored_files_of_zip(std::string_view archive) {
  const auto directory = find_directory(archive);
  if (!directory) return corrupt("it is not a ZIP archive");
  const std::string_view entries = from(archive, directory->offset);
  if (entries.size() < directory->bytes) return corrupt("its directory of files is cut off");
  ByteReader rest(entries.substr(0, directory->bytes));
  std::map<std::string, std::string_view> files;
  while (rest.left() > 0) {
    const auto entry = read_entry(rest);
    if (!entry) return corrupt("its directory of files is damaged");
    if (entry->method != kStored) continue;
    const auto content = content_of(archive, *entry);
    if (!content) return corrupt("a file in it is not where the directory says");
    files[entry->name] = *content;
  }
  return files;
}

}  // namespace gradstab::lab
