#include "lab/support/gzip.hpp"

#include <zlib.h>

#include <array>
#include <limits>

namespace gradstab::lab {
namespace {

/// Ends what inflateInit began.
class Inflater {
 public:
  Inflater() {
    constexpr int kGzipOnly = 16;
    ready_ = inflateInit2(&stream_, MAX_WBITS + kGzipOnly) == Z_OK;
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }

  /// Appends the content of one member to `content`; false if it is damaged or does not end. `rest` begins
  /// behind it.
  bool take_member(std::string& rest, std::string& content) {
    if (!ready_ || inflateReset(&stream_) != Z_OK || rest.size() > std::numeric_limits<uInt>::max())
      return false;
    stream_.next_in = reinterpret_cast<Bytef*>(rest.data());
    stream_.avail_in = static_cast<uInt>(rest.size());
    std::array<char, 1 << 16> block;
    for (int outcome = Z_OK; outcome != Z_STREAM_END;) {
      stream_.next_out = reinterpret_cast<Bytef*>(block.data());
      stream_.avail_out = static_cast<uInt>(block.size());
      outcome = inflate(&stream_, Z_NO_FLUSH);
      if (outcome != Z_OK && outcome != Z_STREAM_END) return false;
      content.append(block.data(), block.size() - stream_.avail_out);
    }
    rest.erase(0, rest.size() - stream_.avail_in);
    return true;
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

}  // namespace

Result<std::string> unpacked(std::string bytes) {
  constexpr std::string_view kMagic = "\x1f\x8b";
  if (!bytes.starts_with(kMagic)) return bytes;
  Inflater inflater;
  std::string content;
  while (!bytes.empty()) {
    if (!inflater.take_member(bytes, content))
      return Status(StatusCode::corrupt_data, "is no whole gzip file; it may be cut off");
  }
  return content;
}

}  // namespace gradstab::lab
