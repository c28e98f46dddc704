// Bytes in the order in which they stand, for what is larger than the memory that it may take.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"

namespace gradstab::lab {

/// Gives bytes once, from the front.
class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  /// Fills the front of `buffer`, perhaps not all of it. How many bytes there are; 0: none are left.
  virtual Result<std::size_t> read(std::span<char> buffer) = 0;
};

/// The bytes of a regular file. What is appended while it is read is read as well.
class FileStream : public ByteStream {
 public:
  /// `path` is named by errors; the file is that of open_file.
  FileStream(Descriptor file, std::filesystem::path path) : file_(std::move(file)), path_(std::move(path)) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  Descriptor file_;
  std::filesystem::path path_;
};

/// Bytes that are in memory, which must outlive this.
class MemoryStream : public ByteStream {
 public:
  explicit MemoryStream(std::string_view bytes) : bytes_(bytes) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  std::string_view bytes_;
};

}  // namespace gradstab::lab
