// libjpeg-turbo, with its errors as values.
#include <cstdio>  // jpeglib.h needs FILE
//
#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>

#include "lab/vision/picture_formats.hpp"

namespace gradstab::lab::vision {
namespace {

/// Upsampled colours of a pixel depend on neighbours so far away; without them the border of a region differs
/// from that of the whole picture.
constexpr int kMargin = 2;
/// A progressive picture has about ten; each one goes through all pixels.
constexpr int kMostScans = 500;

struct Errors {
  jpeg_error_mgr base;  // first: libjpeg knows a pointer to it alone
  std::jmp_buf leave;
  std::array<char, JMSG_LENGTH_MAX> message;
  bool cut_off;
};

Errors& errors_of(j_common_ptr codec) {
  return *reinterpret_cast<Errors*>(codec->err);
}

[[noreturn]] void on_error(j_common_ptr codec) {
  Errors& errors = errors_of(codec);
  errors.base.format_message(codec, errors.message.data());
  std::longjmp(errors.leave, 1);
}
void on_message(j_common_ptr codec, int level) {
  // What is missing at the end is filled with grey, and a warning is all that is said.
  if (level < 0 && codec->err->msg_code == JWRN_JPEG_EOF) errors_of(codec).cut_off = true;
}
void on_progress(j_common_ptr codec) {
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= kMostScans) return;
  Errors& errors = errors_of(codec);
  std::snprintf(errors.message.data(), errors.message.size(), "more than %d scans", kMostScans);
  std::longjmp(errors.leave, 1);
}

/// a * b / 255, rounded to nearest.
std::uint8_t product(int a, int b) {
  const int scaled = a * b + 128;
  return static_cast<std::uint8_t>(((scaled >> 8) + scaled) >> 8);
}

/// Holds a decoder. Functions that call libjpeg have no objects of their own, since an error leaves them
/// without ending those.
class Decoder {
 public:
  Decoder() {
    codec_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = on_error;
    errors_.base.emit_message = on_message;
    errors_.message[0] = '\0';
    errors_.cut_off = false;
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&codec_); }

  bool read_header(std::string_view bytes) {
    if (setjmp(errors_.leave) != 0) return false;
    jpeg_create_decompress(&codec_);
    progress_.progress_monitor = on_progress;
    codec_.progress = &progress_;
    jpeg_mem_src(&codec_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&codec_, TRUE);
    return true;
  }

  /// Begins to decode the columns of `region`, and a few more.
  bool start(const Rectangle& region) {
    if (setjmp(errors_.leave) != 0) return false;
    codec_.out_color_space = is_cmyk() ? JCS_CMYK : JCS_RGB;
    codec_.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&codec_);
    first_column_ = static_cast<JDIMENSION>(std::max(region.left - kMargin, 0));
    last_column_ =
        std::min(static_cast<JDIMENSION>(region.left + region.width + kMargin), codec_.output_width);
    columns_ = last_column_ - first_column_;
    if (columns_ < codec_.output_width) {
      // Makes the columns begin with a block, and more of them.
      jpeg_crop_scanline(&codec_, &first_column_, &columns_);
    } else {
      first_column_ = 0;
    }
    const int skipped = std::max(region.top - kMargin, 0);
    if (skipped > 0) jpeg_skip_scanlines(&codec_, static_cast<JDIMENSION>(skipped));
    next_row_ = skipped;
    return true;
  }

  /// Decodes the next row into `row`, which has row_bytes().
  bool read_row(std::uint8_t* row) {
    if (setjmp(errors_.leave) != 0) return false;
    JSAMPROW rows[] = {row};
    if (jpeg_read_scanlines(&codec_, rows, 1) != 1) {
      std::snprintf(errors_.message.data(), errors_.message.size(), "a row is missing");
      return false;
    }
    ++next_row_;
    return true;
  }

  bool is_cmyk() const { return codec_.jpeg_color_space == JCS_CMYK || codec_.jpeg_color_space == JCS_YCCK; }
  bool is_known_colour() const { return codec_.jpeg_color_space != JCS_UNKNOWN; }
  std::int64_t width() const { return codec_.image_width; }
  std::int64_t height() const { return codec_.image_height; }
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(codec_.output_width) * static_cast<std::size_t>(codec_.output_components);
  }
  int first_column() const { return static_cast<int>(first_column_); }
  int next_row() const { return next_row_; }

  Status error() const {
    return {StatusCode::corrupt_data,
            fmt::format("is not a JPEG picture that can be read: {}",
                        errors_.cut_off ? "it is cut off" : errors_.message.data())};
  }
  bool cut_off() const { return errors_.cut_off; }

 private:
  jpeg_decompress_struct codec_{};
  jpeg_progress_mgr progress_{};
  Errors errors_{};
  JDIMENSION first_column_ = 0, last_column_ = 0, columns_ = 0;
  int next_row_ = 0;
};

void to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, int pixels) {
  for (int i = 0; i < pixels; ++i, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; ++c) rgb[c] = product(cmyk[c], cmyk[3]);
}

/// Where the first pixels begin: behind the segments of the header, each of which has a length. A thumbnail
/// inside one of them has pixels of its own.
std::size_t first_scan(std::string_view bytes) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  constexpr unsigned char kStartOfScan = 0xda;
  std::size_t at = 2;
  while (at + 4 <= bytes.size()) {
    if (byte(at) != 0xff || byte(at + 1) == 0xff) {
      ++at;  // filling
      continue;
    }
    if (byte(at + 1) == kStartOfScan) return at;
    at += 2 + (std::size_t{byte(at + 2)} << 8U | byte(at + 3));
  }
  return std::string_view::npos;
}

/// Pixels never hold an end marker, so one behind the first of them is the file's.
bool has_end(std::string_view bytes) {
  constexpr std::string_view kEndOfImage = "\xff\xd9";
  const std::size_t end = bytes.rfind(kEndOfImage);
  const std::size_t scan = first_scan(bytes);
  return end != std::string_view::npos && scan != std::string_view::npos && end > scan;
}

}  // namespace

bool is_jpeg(std::string_view bytes) noexcept {
  return bytes.starts_with("\xff\xd8\xff");
}

Status read_jpeg(std::string_view bytes, const RegionChooser& choose, ReadBuffers& buffers, Picture& picture,
                 std::int64_t most_pixels) {
  Decoder decoder;
  if (!decoder.read_header(bytes)) return decoder.error();
  GRADSTAB_RETURN_IF_ERROR(check_pixels(decoder.width(), decoder.height(), most_pixels));
  if (!decoder.is_known_colour())
    return {StatusCode::unsupported, "is a JPEG picture of unknown channels, expected grey, RGB or CMYK"};
  if (!has_end(bytes))
    return {StatusCode::corrupt_data, "is not a JPEG picture that can be read: it is cut off"};
  const Rectangle region = choose({static_cast<int>(decoder.width()), static_cast<int>(decoder.height())});
  if (!decoder.start(region)) return decoder.error();
  picture.reshape(region.width, region.height, 3);
  buffers.rows.resize(decoder.row_bytes());
  const int skipped_columns = region.left - decoder.first_column();
  while (decoder.next_row() < region.top + region.height) {
    const int y = decoder.next_row() - region.top;
    if (!decoder.read_row(buffers.rows.data())) return decoder.error();
    if (y < 0) continue;
    if (decoder.is_cmyk())
      to_rgb(buffers.rows.data() + 4 * skipped_columns, picture.row(y), region.width);
    else
      std::memcpy(picture.row(y), buffers.rows.data() + 3 * skipped_columns, picture.row_bytes());
  }
  if (decoder.cut_off()) return decoder.error();
  return {};
}

}  // namespace gradstab::lab::vision
