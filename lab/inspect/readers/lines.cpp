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
    // Up to `searched_` there is neither end.
    const char* const from = buffer_.data() + searched_;
    const std::size_t left = end_ - searched_;
    const auto* const feed = left > 0 ? static_cast<const char*>(std::memchr(from, '\n', left)) : nullptr;
    const std::size_t before_feed = feed != nullptr ? static_cast<std::size_t>(feed - from) : left;
    const auto* const carriage =
        before_feed > 0 ? static_cast<const char*>(std::memchr(from, '\r', before_feed)) : nullptr;
    const bool undecided = carriage != nullptr && carriage + 1 == buffer_.data() + end_;  // "\r\n" or "\r"
    if (((carriage == nullptr && feed == nullptr) || undecided) && !at_end_) {
      searched_ = undecided ? static_cast<std::size_t>(carriage - buffer_.data()) : end_;
      if (!fill() && !status_.ok()) return std::nullopt;
      continue;
    }
    const char* const found = carriage != nullptr ? carriage : feed;
    if (found == nullptr && begin_ == end_) return std::nullopt;
    const std::size_t stop = found != nullptr ? static_cast<std::size_t>(found - buffer_.data()) : end_;
    std::string_view line(buffer_.data() + begin_, stop - begin_);
    ended_ = found != nullptr;
    begin_ = ended_ ? stop + 1 : stop;
    if (carriage != nullptr && feed == carriage + 1) ++begin_;
    searched_ = begin_;
    if (++number_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    return line;
  }
}

}  // namespace gradstab::lab::inspect
