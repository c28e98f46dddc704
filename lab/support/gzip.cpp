#include "lab/support/gzip.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <limits>
#include <string_view>

#include "lab/support/files.hpp"

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

  /// Appends the content of one member to `content`, which must not grow beyond `most` bytes; `rest` begins
  /// behind it.
  Status unpack_member(std::string_view& rest, std::string& content, std::uintmax_t most) {
    Status cut_off(StatusCode::corrupt_data, "is not a complete gzip file; it may be cut off");
    if (!ready_ || inflateReset(&stream_) != Z_OK || rest.size() > std::numeric_limits<uInt>::max())
      return cut_off;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(rest.data()));  // zlib writes nothing there
    stream_.avail_in = static_cast<uInt>(rest.size());
    std::array<char, 1 << 16> block;
    for (int outcome = Z_OK; outcome != Z_STREAM_END;) {
      stream_.next_out = reinterpret_cast<Bytef*>(block.data());
      stream_.avail_out = static_cast<uInt>(block.size());
      outcome = inflate(&stream_, Z_NO_FLUSH);
      if (outcome != Z_OK && outcome != Z_STREAM_END) return cut_off;
      content.append(block.data(), block.size() - stream_.avail_out);
      if (content.size() > most) {
        return {StatusCode::corrupt_data,
                fmt::format("unpacks to more than {}, the limit for it", size_text(most))};
      }
    }
    rest.remove_prefix(rest.size() - stream_.avail_in);
    return {};
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

}  // namespace

Result<std::string> unpacked(std::string bytes, std::uintmax_t most) {
  constexpr std::string_view kMagic = "\x1f\x8b";
  if (!bytes.starts_with(kMagic)) return bytes;
  Inflater inflater;
  std::string content;
  for (std::string_view rest = bytes; !rest.empty();)
    GRADSTAB_RETURN_IF_ERROR(inflater.unpack_member(rest, content, most));
  return content;
}

}  // namespace gradstab::lab
