// Lines of text of any number, in memory of one of them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/byte_stream.hpp"

namespace gradstab::lab::inspect {

/// A longer line is no line of a log.
inline constexpr std::size_t kLongestLine = std::size_t{16} << 20;

/// Gives lines without their ends, "\n", "\r\n" or "\r": a progress bar goes back to the front of its line
/// and writes over it. A byte order mark at the front is left out.
class LineReader {
 public:
  explicit LineReader(ByteStream& bytes) : bytes_(bytes), buffer_(kBlock) {}

  /// The next line, a view that is valid until the next call; nothing at the end or after an error.
  std::optional<std::string_view> next();
  /// From 1; that of the line that was last given.
  std::size_t number() const noexcept { return number_; }
  /// Whether the line that was last given ended in a line's end: the last one of a cut file has none.
  bool ended() const noexcept { return ended_; }
  /// Errors: those of the stream, and a line that is longer than kLongestLine.
  const Status& status() const noexcept { return status_; }

 private:
  static constexpr std::size_t kBlock = std::size_t{1} << 18;
  bool fill();

  ByteStream& bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t searched_ = 0;  // up to here there is no line's end
  std::size_t number_ = 0;
  bool at_end_ = false;
  bool ended_ = true;
  Status status_;
};

}  // namespace gradstab::lab::inspect
