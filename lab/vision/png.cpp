// libpng, with its errors as values.
#include <fmt/format.h>
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "lab/vision/picture_formats.hpp"

namespace gradstab::lab::vision {
namespace {

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
/// A chunk beside the pixels; a text or a colour profile that unpacks to more is left out.
constexpr png_alloc_size_t kMostChunkBytes = 8 << 20;
/// A side; libpng wants a limit of its own. JPEG has the same.
constexpr png_uint_32 kMostSide = 65535;

/// What is still to be read, and what went wrong.
struct Input {
  std::string_view rest;
  std::jmp_buf leave;
  std::array<char, 128> message;
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  Input& input = *static_cast<Input*>(png_get_error_ptr(png));
  std::snprintf(input.message.data(), input.message.size(), "%s", text);
  std::longjmp(input.leave, 1);
}
void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep to, std::size_t count) {
  Input& input = *static_cast<Input*>(png_get_io_ptr(png));
  if (count > input.rest.size()) png_error(png, "it is cut off");
  std::memcpy(to, input.rest.data(), count);
  input.rest.remove_prefix(count);
}

/// Holds a decoder. Functions that call libpng have no objects of their own, since an error leaves them
/// without ending those.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) {
    input_.rest = bytes;
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &input_, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  bool read_header() {
    if (info_ == nullptr) return false;
    if (setjmp(input_.leave) != 0) return false;
    png_set_read_fn(png_, &input_, read_bytes);
    png_set_user_limits(png_, kMostSide, kMostSide);
    png_set_chunk_malloc_max(png_, kMostChunkBytes);
    png_read_info(png_, info_);
    return true;
  }

  /// Begins to decode, to RGB of 8 bits.
  bool start() {
    if (setjmp(input_.leave) != 0) return false;
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  /// The next row of a pass. Rows of later passes need what the earlier ones left in `row`.
  bool read_row(std::uint8_t* row) {
    if (setjmp(input_.leave) != 0) return false;
    png_read_row(png_, row, nullptr);
    return true;
  }

  int passes() const { return passes_; }
  int width() const { return static_cast<int>(png_get_image_width(png_, info_)); }
  int height() const { return static_cast<int>(png_get_image_height(png_, info_)); }
  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }

  Status error() const {
    return {StatusCode::corrupt_data,
            fmt::format("is not a PNG picture that can be read: {}", input_.message.data())};
  }

 private:
  Input input_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  int passes_ = 1;
};

bool has_end(std::string_view bytes) {
  constexpr std::string_view kEnd("\0\0\0\0IEND\xae\x42\x60\x82", 12);
  return bytes.rfind(kEnd) != std::string_view::npos;
}

}  // namespace

bool is_png(std::string_view bytes) noexcept {
  return bytes.starts_with(kSignature);
}

Status read_png(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers, Picture& picture,
                std::int64_t most_pixels) {
  Decoder decoder(bytes);
  if (!decoder.read_header()) return decoder.error();
  const int width = decoder.width(), height = decoder.height();
  GRADSTAB_RETURN_IF_ERROR(check_pixels(width, height, most_pixels));
  if (!has_end(bytes))
    return {StatusCode::corrupt_data, "is not a PNG picture that can be read: it is cut off"};
  if (!decoder.start()) return decoder.error();
  constexpr std::size_t kChannels = 3;
  if (decoder.row_bytes() != kChannels * static_cast<std::size_t>(width))
    return {StatusCode::unsupported, "is a PNG picture of unknown channels"};
  const Rectangle region = choose({width, height});
  picture.reshape(region.width, region.height, kChannels);
  const bool interlaced = decoder.passes() > 1;
  const std::size_t row_bytes = decoder.row_bytes();
  // The passes of an interlaced picture meet in memory, from the first row to the last.
  buffers.rows.assign(row_bytes * (interlaced ? static_cast<std::size_t>(height) : 1), 0);
  for (int pass = 0; pass < decoder.passes(); ++pass)
    for (int y = 0; y < (interlaced ? height : region.top + region.height); ++y) {
      std::uint8_t* const row =
          buffers.rows.data() + (interlaced ? static_cast<std::size_t>(y) * row_bytes : 0);
      if (!decoder.read_row(row)) return decoder.error();
      if (pass + 1 == decoder.passes() && y >= region.top && y < region.top + region.height)
        std::memcpy(picture.row(y - region.top), row + kChannels * static_cast<std::size_t>(region.left),
                    picture.row_bytes());
    }
  return {};
}

}  // namespace gradstab::lab::vision
