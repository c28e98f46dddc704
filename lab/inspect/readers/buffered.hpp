// So many bytes at a time out of a stream.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/byte_stream.hpp"

namespace gradstab::lab::inspect {

/// Gives blocks of a stream. Its memory grows to the largest block that was asked for and was all there: a
/// length out of a damaged file costs no more than the file has.
class Buffered {
 public:
  explicit Buffered(ByteStream& bytes) : bytes_(bytes), buffer_(kBlock) {}

  /// The next `count` bytes, valid until the next call; fewer at the end of the stream.
  std::string_view take(std::size_t count) {
    while (end_ - begin_ < count && fill(count)) {
    }
    const std::string_view taken(buffer_.data() + begin_, std::min(count, end_ - begin_));
    begin_ += taken.size();
    return taken;
  }

  /// Leaves `count` bytes out; false where there are not so many.
  bool skip(std::uint64_t count) {
    while (count > 0) {
      const std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(count, kBlock));
      if (take(part).size() < part) return false;
      count -= part;
    }
    return true;
  }

  /// Of the stream.
  const Status& status() const noexcept { return status_; }

 private:
  static constexpr std::size_t kBlock = std::size_t{1} << 18;

  bool fill(std::size_t wanted) {
    if (at_end_) return false;
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    // Twice what is there, not what is wanted.
    if (end_ == buffer_.size())
      buffer_.resize(std::min(buffer_.size() * 2, std::max(wanted, buffer_.size())));
    const auto count = bytes_.read(std::span(buffer_).subspan(end_));
    if (!count) status_ = count.status();
    at_end_ = !count || *count == 0;
    if (count) end_ += *count;
    return !at_end_;
  }

  ByteStream& bytes_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool at_end_ = false;
  Status status_;
};

}  // namespace gradstab::lab::inspect
