#include "lab/inspect/readers/lines.hpp"

#include <fmt/format.h>

#include <cstring>

#include "lab/support/files.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

/// More bytes behind those that are there. False: there are none, or a line is too long.
bool LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    searched_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (buffer_.size() >= kLongestLine) {
      status_ = {StatusCode::corrupt_data,
                 fmt::format("line {} is longer than {}", number_ + 1, size_text(kLongestLine))};
      return false;
    }
    buffer_.resize(buffer_.size() * 2);
  }
  const auto count = bytes_.read(std::span(buffer_).subspan(end_));
  if (!count) status_ = count.status();
  if (!count || *count == 0) at_end_ = true;
  if (count) end_ += *count;
  return !at_end_;
}

std::optional<std::string_view> LineReader::next() {
  if (!status_.ok()) return std::nullopt;
  for (;;) {
    const char* const from = buffer_.data() + searched_;
    const void* const found = std::memchr(from, '\n', end_ - searched_);
    if (found == nullptr && !at_end_) {
      searched_ = end_;
      if (!fill() && !status_.ok()) return std::nullopt;
      continue;
    }
    if (found == nullptr && begin_ == end_) return std::nullopt;
    const std::size_t stop =
        found != nullptr ? static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) : end_;
    std::string_view line(buffer_.data() + begin_, stop - begin_);
    ended_ = found != nullptr;
    begin_ = searched_ = ended_ ? stop + 1 : stop;
    if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
  }
}

}  // namespace gradstab::lab::inspect
