// Lines of a plain or gzip-compressed text file, streamed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// One line, or a part of one that is longer than the reader's limit.
struct TextLine {
  std::string_view bytes;    ///< without the line end; valid until the next call of `next`
  std::uint64_t number = 0;  ///< counted from 1
  bool complete = true;      ///< false: the line goes on in the next TextLine, which has the same number
};

/// Reads a file line by line; gzip (also several members, also dictzip) is unpacked on the way. Line ends are
/// LF or CR LF; a byte order mark is dropped. Memory use is the line limit plus one block.
class TextReader {
 public:
  /// Opens `path`; lines longer than `max_line_bytes` arrive in parts, cut between UTF-8 characters.
  /// Errors: those of open_file.
  static Result<TextReader> open(const std::filesystem::path& path, std::size_t max_line_bytes);

  TextReader(TextReader&&) noexcept;
  TextReader& operator=(TextReader&&) noexcept;
  ~TextReader();

  /// Moves to the next line. False at the end and after an error; `status` tells which.
  bool next(TextLine& line);

  /// ok, or why reading stopped: corrupt_data for a truncated or damaged gzip stream, for one that unpacks to
  /// more than 200 times its size, and for data that is not text (a NUL byte, or a beginning that is mostly
  /// control or non-UTF-8 bytes); io_error from the operating system.
  const Status& status() const noexcept;

  /// Share of the file's bytes (compressed, where it is) read so far, in [0, 1].
  double fraction() const noexcept;

 private:
  struct State;
  explicit TextReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gradstab::lab
