#include "lab/llm/data/text_reader.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "lab/support/files.hpp"
#include "lab/support/utf8.hpp"

namespace gradstab::lab {
namespace {

constexpr std::size_t kBlockBytes = 256 * 1024;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Text in a legacy 8-bit encoding of a Latin script stays well below this share of odd bytes; images,
// archives and UTF-16 do not.
constexpr double kMaxOddShare = 0.3;

// gzip shortens English to about a third. What it shortens to less than this share, after the first
// megabytes, repeats itself: nothing can be learnt from it, and a small file could fill the disk.
constexpr std::uint64_t kMostExpansion = 200;
constexpr std::uint64_t kMonotonousBytes = 16 << 20;

bool is_odd_control(unsigned char byte) {
  return (byte < 0x20 && std::strchr("\t\n\r\f\v\b\x1b", byte) == nullptr) || byte == 0x7f;
}

double odd_share(std::string_view bytes) {
  std::size_t odd = 0;
  for (const char byte : bytes) odd += is_odd_control(static_cast<unsigned char>(byte)) ? 1u : 0u;
  for (std::string_view rest = bytes;;) {
    const std::size_t valid = valid_utf8_prefix(rest);
    if (valid == rest.size()) break;
    ++odd;
    rest.remove_prefix(valid + 1);
  }
  return bytes.empty() ? 0.0 : static_cast<double>(odd) / static_cast<double>(bytes.size());
}

// Where to cut `bytes` (all of it, or up to three bytes less) so that no UTF-8 character is torn.
std::size_t character_boundary(std::string_view bytes) {
  std::size_t cut = bytes.size();
  for (std::size_t back = 1; back <= std::min<std::size_t>(4, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    if (byte >= 0xc0) cut = bytes.size() - back;
    break;
  }
  return cut == 0 || valid_utf8_prefix(bytes.substr(cut)) == bytes.size() - cut ? bytes.size() : cut;
}

}  // namespace

struct TextReader::State {
  gzFile file = nullptr;
  std::filesystem::path path;
  std::uintmax_t file_bytes = 0;
  std::size_t max_line_bytes = 0;
  std::string pending;  // unpacked bytes; those before `consumed` were handed out
  std::size_t consumed = 0;
  std::size_t searched = 0;    // no line end before this index
  std::uint64_t unpacked = 0;  // bytes read from the stream so far
  std::uint64_t line_number = 1;
  bool at_end = false;
  Status status;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (file != nullptr) gzclose_r(file);
  }

  // Appends one block to `pending`; sets at_end or status when there is none.
  void fill() {
    pending.erase(0, consumed);
    searched -= consumed;
    consumed = 0;
    const std::size_t before = pending.size();
    pending.resize(before + kBlockBytes);
    const int count = gzread(file, pending.data() + before, kBlockBytes);
    pending.resize(before + static_cast<std::size_t>(std::max(count, 0)));
    if (count <= 0) {
      at_end = true;
      check_stream_end();
      return;
    }
    check_is_text(std::string_view(pending).substr(before));
    if (unpacked == 0 && pending.starts_with(kByteOrderMark)) consumed = searched = kByteOrderMark.size();
    unpacked += static_cast<std::uint64_t>(count);
    check_expansion();
  }

  void check_stream_end() {
    int code = Z_OK;
    const char* text = gzerror(file, &code);
    if (code == Z_OK || code == Z_STREAM_END) return;
    if (code == Z_ERRNO) {
      status = {StatusCode::io_error,
                fmt::format("cannot read '{}': {}", path.string(), system_error_text(errno))};
    } else if (code == Z_BUF_ERROR) {
      status = {StatusCode::corrupt_data,
                fmt::format("'{}' is a truncated gzip file: it ends after {} bytes of text", path.string(),
                            unpacked)};
    } else {
      status = {StatusCode::corrupt_data,
                fmt::format("'{}' is a damaged gzip file: {}", path.string(), text)};
    }
  }

  void check_is_text(std::string_view block) {
    if (const std::size_t nul = block.find('\0'); nul != std::string_view::npos) {
      status = {StatusCode::corrupt_data,
                fmt::format("'{}' is not text: NUL byte at offset {}, expected UTF-8 text", path.string(),
                            unpacked + nul)};
    } else if (const double share = unpacked == 0 ? odd_share(block) : 0.0; share > kMaxOddShare) {
      status = {StatusCode::corrupt_data,
                fmt::format("'{}' is not text: {:.0f}% of its first bytes are not UTF-8 text", path.string(),
                            100 * share)};
    }
  }

  void check_expansion() {
    const auto packed = static_cast<std::uint64_t>(std::max<z_off_t>(gzoffset(file), 0));
    if (!status.ok() || unpacked < kMonotonousBytes || unpacked / kMostExpansion < packed) return;
    status = {StatusCode::corrupt_data,
              fmt::format("'{}' only repeats itself: {} come out of its first {}, expected text",
                          path.string(), size_text(unpacked), size_text(packed))};
  }
};

TextReader::TextReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TextReader::TextReader(TextReader&&) noexcept = default;
TextReader& TextReader::operator=(TextReader&&) noexcept = default;
TextReader::~TextReader() = default;

Result<TextReader> TextReader::open(const std::filesystem::path& path, std::size_t max_line_bytes) {
  auto state = std::make_unique<State>();
  auto opened = open_file(path);
  if (!opened) return opened.status();
  state->file = gzdopen(opened->number(), "rb");
  if (state->file == nullptr)
    return Status(StatusCode::io_error, fmt::format("cannot open '{}': out of memory", path.string()));
  opened->release();  // gzclose closes it
  gzbuffer(state->file, kBlockBytes);
  std::error_code ignored;
  state->file_bytes = std::filesystem::file_size(path, ignored);
  state->path = path;
  state->max_line_bytes = max_line_bytes;
  return TextReader(std::move(state));
}

bool TextReader::next(TextLine& line) {
  State& state = *state_;
  while (state.status.ok()) {
    const std::size_t end = state.pending.find('\n', state.searched);
    const std::size_t available = std::min(end, state.pending.size()) - state.consumed;
    const bool too_long = available > state.max_line_bytes;
    if (end == std::string::npos && !too_long && !state.at_end) {
      state.searched = state.pending.size();
      state.fill();
      continue;
    }
    if (end == std::string::npos && available == 0) return false;
    line.bytes = std::string_view(state.pending).substr(state.consumed, available);
    line.number = state.line_number;
    line.complete = !too_long;
    if (too_long) {
      line.bytes = line.bytes.substr(0, state.max_line_bytes);
      line.bytes = line.bytes.substr(0, character_boundary(line.bytes));
      state.consumed = state.searched = state.consumed + line.bytes.size();
      return true;
    }
    ++state.line_number;
    state.consumed = state.searched = end == std::string::npos ? state.pending.size() : end + 1;
    if (line.bytes.ends_with('\r')) line.bytes.remove_suffix(1);
    return true;
  }
  return false;
}

const Status& TextReader::status() const noexcept {
  return state_->status;
}

double TextReader::fraction() const noexcept {
  if (state_->file_bytes == 0) return 1.0;
  const auto read = static_cast<double>(std::max<z_off_t>(gzoffset(state_->file), 0));
  return std::min(1.0, read / static_cast<double>(state_->file_bytes));
}

}  // namespace gradstab::lab
