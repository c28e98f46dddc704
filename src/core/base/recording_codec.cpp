// Bytes of a recording: docs/recording-format.md.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include "core/base/floating_point.hpp"
#include "core/base/root_of_squares.hpp"
#include "core/base/state_codec.hpp"
#include "core/base/text.hpp"
#include "gradstab/recording.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {
namespace {

constexpr std::string_view kMagic = "\x89GSNORM\n";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kCodeBytes = 4;  // what kind of block it is
constexpr std::size_t kBlockHeaderBytes = kCodeBytes + 4 + 4;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::string_view kHeaderCode = "HEAD";
constexpr std::string_view kStepCode = "STEP";
constexpr std::size_t kMostPayload = std::size_t{256} << 20;

// What a step has beside its number and its global norm.
constexpr std::uint32_t kHasLoss = 1;
constexpr std::uint32_t kHasAbsent = 2;  // a bit per tensor says whether it had a gradient
constexpr std::uint32_t kWideNorms = 4;  // norms are float64
constexpr std::uint32_t kKnownFlags = kHasLoss | kHasAbsent | kWideNorms;

constexpr std::size_t kStartBytes = kMagic.size() + sizeof kVersion + kChecksumBytes;

std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

void put(std::vector<std::byte>& bytes, std::span<const std::byte> more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}
template <class T>
requires std::is_arithmetic_v<T>
void put(std::vector<std::byte>& bytes, T value) {
  put(bytes, std::as_bytes(std::span(&value, 1)));
}

std::span<const std::byte> from(const std::vector<std::byte>& bytes, std::size_t begin) noexcept {
  return std::span(bytes).subspan(begin);
}

Status check_payload(std::size_t size) {
  if (size <= kMostPayload) return {};
  return {StatusCode::invalid_argument, detail::concat("a block of a recording would have ", size,
                                                       " bytes, expected at most ", kMostPayload)};
}

/// Puts the front of a block, whose payload follows.
void put_block_header(std::string_view code, std::size_t payload, std::vector<std::byte>& bytes) {
  const std::size_t begin = bytes.size();
  put(bytes, as_bytes(code));
  put(bytes, static_cast<std::uint32_t>(payload));
  put(bytes, crc32(from(bytes, begin)));
}

/// Of the block at the front of `bytes`: its length, where that is one.
struct BlockHeader {
  std::string_view code;
  std::size_t payload = 0;
};
bool read_block_header(std::span<const std::byte> bytes, BlockHeader& header) {
  ByteReader reader(bytes);
  const auto code = reader.get_bytes(kCodeBytes);
  const auto length = reader.get<std::uint32_t>();
  const auto checksum = reader.get<std::uint32_t>();
  header.code = {reinterpret_cast<const char*>(code.data()), code.size()};
  header.payload = length;
  return length <= kMostPayload && crc32(bytes.first(kCodeBytes + sizeof length)) == checksum;
}

/// Whether a float32 has this norm to its precision, or is as special.
bool is_narrow(double norm) noexcept {
  using Float = std::numeric_limits<float>;
  return norm == 0.0 || !detail::is_finite(norm) ||
         (norm >= static_cast<double>(Float::min()) && norm <= static_cast<double>(Float::max()));
}

constexpr std::size_t bitmap_bytes(std::size_t tensors) noexcept {
  return (tensors + 7) / 8;
}

template <class T>
void put_norms(std::span<const double> norms, std::size_t present, std::vector<std::byte>& bytes) {
  const std::size_t begin = bytes.size();
  bytes.resize(begin + present * sizeof(T));
  std::byte* at = bytes.data() + begin;
  for (const double norm : norms) {
    if (norm == kNoGradient) continue;
    const T stored = static_cast<T>(norm);
    std::memcpy(at, &stored, sizeof stored);
    at += sizeof stored;
  }
}

}  // namespace

bool looks_like_recording(std::span<const std::byte> front) noexcept {
  return front.size() >= kMagic.size() && std::memcmp(front.data(), kMagic.data(), kMagic.size()) == 0;
}

void RecordingEncoder::start(std::vector<std::byte>& bytes) {
  const std::size_t begin = bytes.size();
  put(bytes, as_bytes(kMagic));
  put(bytes, kVersion);
  put(bytes, crc32(from(bytes, begin)));
}

Status RecordingEncoder::header(const RecordingHeader& header, std::vector<std::byte>& bytes) {
  ByteWriter payload;
  payload.put(static_cast<std::uint32_t>(header.tensors.size()));
  payload.put(static_cast<std::uint32_t>(header.facts.size()));
  for (const auto& [key, value] : header.facts) {
    payload.put(std::string_view(key));
    payload.put(std::string_view(value));
  }
  for (const auto& [name, elements, dtype] : header.tensors) {
    payload.put(std::string_view(name));
    payload.put(elements);
    payload.put(std::string_view(dtype));
  }
  GRADSTAB_RETURN_IF_ERROR(check_payload(payload.bytes().size()));
  put_block_header(kHeaderCode, payload.bytes().size(), bytes);
  put(bytes, payload.bytes());
  header_checksum_ = crc32(payload.bytes());
  tensors_ = header.tensors.size();
  put(bytes, header_checksum_);
  return {};
}

Status RecordingEncoder::step(std::int64_t step, std::optional<double> loss, std::span<const double> norms,
                              std::vector<std::byte>& bytes) const {
  if (step < 0)
    return {StatusCode::invalid_argument, detail::concat("a recorded step must be at least 0, got ", step)};
  if (norms.size() != tensors_) {
    return {StatusCode::shape_mismatch,
            detail::concat("got ", norms.size(), " norms for ", tensors_, " recorded tensors")};
  }
  std::uint32_t flags = loss ? kHasLoss : 0;
  std::size_t present = 0;
  for (const double norm : norms) {
    if (norm == kNoGradient) {
      flags |= kHasAbsent;
      continue;
    }
    if (norm < 0.0) {
      return {StatusCode::invalid_argument,
              detail::concat("a norm must be at least 0, or -1 where there is no gradient, got ", norm)};
    }
    ++present;
    if (!is_narrow(norm)) flags |= kWideNorms;
  }
  const bool wide = (flags & kWideNorms) != 0;
  const std::size_t size = sizeof header_checksum_ + sizeof step + sizeof flags + sizeof(double) +
                           (loss ? sizeof(double) : 0) +
                           ((flags & kHasAbsent) != 0 ? bitmap_bytes(norms.size()) : 0) +
                           present * (wide ? sizeof(double) : sizeof(float));
  GRADSTAB_RETURN_IF_ERROR(check_payload(size));
  bytes.reserve(bytes.size() + kBlockHeaderBytes + size + kChecksumBytes);
  put_block_header(kStepCode, size, bytes);
  const std::size_t begin = bytes.size();
  put(bytes, header_checksum_);
  put(bytes, step);
  put(bytes, flags);
  put(bytes,
      root_of_squares(norms.size(), [&](std::size_t i) { return norms[i] == kNoGradient ? 0.0 : norms[i]; }));
  if (loss) put(bytes, *loss);
  if ((flags & kHasAbsent) != 0) {
    const std::size_t bitmap = bytes.size();
    bytes.resize(bitmap + bitmap_bytes(norms.size()));
    for (std::size_t i = 0; i < norms.size(); ++i)
      if (norms[i] != kNoGradient) bytes[bitmap + i / 8] |= std::byte{1} << i % 8;
  }
  wide ? put_norms<double>(norms, present, bytes) : put_norms<float>(norms, present, bytes);
  put(bytes, crc32(from(bytes, begin)));
  return {};
}

RecordingSink::~RecordingSink() = default;

Result<bool> RecordingReader::feed(std::span<const std::byte> bytes, RecordingSink& sink) {
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (!started_) {
    GRADSTAB_RETURN_IF_ERROR(take_start());
    if (!started_) return true;
  }
  Taken taken = Taken::block;
  while (taken != Taken::too_short && taken != Taken::enough) {
    taken = take_block(sink);
    if (taken == Taken::nothing) pass_over();
  }
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(position_));
  before_ += position_;
  position_ = 0;
  return taken != Taken::enough;
}

Status RecordingReader::take_start() {
  const std::size_t known = std::min(buffer_.size(), kMagic.size());
  if (std::memcmp(buffer_.data(), kMagic.data(), known) != 0)
    return {StatusCode::corrupt_data, "is no recording of norms: it does not begin as one"};
  if (buffer_.size() < kStartBytes) return {};
  ByteReader reader(std::span<const std::byte>(buffer_).first(kStartBytes));
  reader.get_bytes(kMagic.size());
  const auto version = reader.get<std::uint32_t>();
  const auto checksum = reader.get<std::uint32_t>();
  if (crc32(std::span<const std::byte>(buffer_).first(kStartBytes - kChecksumBytes)) != checksum)
    return {StatusCode::corrupt_data,
            "is a damaged recording of norms: the checksum of its version is wrong"};
  if (version != kVersion) {
    return {StatusCode::version_mismatch,
            detail::concat("is a recording of norms of format version ", version, ", expected ", kVersion)};
  }
  started_ = true;
  position_ = whole_ = kStartBytes;
  return {};
}

/// What is at the position: a whole block, the beginning of one, or nothing of the kind.
RecordingReader::Taken RecordingReader::take_block(RecordingSink& sink) {
  const auto bytes = from(buffer_, position_);
  if (bytes.size() < kBlockHeaderBytes) return Taken::too_short;
  BlockHeader block;
  if (!read_block_header(bytes.first(kBlockHeaderBytes), block)) return Taken::nothing;
  const std::size_t size = kBlockHeaderBytes + block.payload + kChecksumBytes;
  if (bytes.size() < size) return Taken::too_short;
  const auto payload = bytes.subspan(kBlockHeaderBytes, block.payload);
  ByteReader footer(bytes.subspan(kBlockHeaderBytes + block.payload, kChecksumBytes));
  const auto checksum = footer.get<std::uint32_t>();
  if (crc32(payload) != checksum) return Taken::nothing;
  const bool is_header = block.code == kHeaderCode;
  const bool is_step = block.code == kStepCode;
  if ((is_header && !read_header(payload, checksum)) || (is_step && !read_step(payload)))
    return Taken::nothing;
  if (!is_header && !is_step) ++unknown_;
  position_ += size;
  whole_ = before_ + position_;
  in_damage_ = false;
  if (is_header) sink.header(header_);
  return is_step && !sink.step(step_) ? Taken::enough : Taken::block;
}

/// To where the next block may begin.
void RecordingReader::pass_over() {
  if (!in_damage_) ++damaged_;
  in_damage_ = true;
  // All codes are upper-case letters, and so will others be.
  const auto next =
      std::find_if(buffer_.begin() + static_cast<std::ptrdiff_t>(position_) + 1, buffer_.end(),
                   [](std::byte byte) { return byte >= std::byte{'A'} && byte <= std::byte{'Z'}; });
  position_ = static_cast<std::size_t>(next - buffer_.begin());
}

bool RecordingReader::read_header(std::span<const std::byte> payload, std::uint32_t checksum) {
  constexpr std::size_t kLeastTensor = 4 + 8 + 4;
  constexpr std::size_t kLeastFact = 4 + 4;
  RecordingHeader header;
  ByteReader reader(payload);
  const std::size_t tensors = reader.get<std::uint32_t>();
  const std::size_t facts = reader.get<std::uint32_t>();
  if (!reader.ok() || tensors > reader.remaining() / kLeastTensor || facts > reader.remaining() / kLeastFact)
    return false;
  header.facts.resize(facts);
  for (auto& [key, value] : header.facts) {
    key = reader.get_string();
    value = reader.get_string();
  }
  header.tensors.resize(tensors);
  for (auto& [name, elements, dtype] : header.tensors) {
    name = reader.get_string();
    elements = reader.get<std::int64_t>();
    dtype = reader.get_string();
  }
  if (!reader.ok() || reader.remaining() > 0) return false;
  header_ = std::move(header);
  norms_.assign(tensors, kNoGradient);
  header_checksum_ = checksum;
  has_header_ = true;
  return true;
}

bool RecordingReader::read_step(std::span<const std::byte> payload) {
  if (!has_header_) return false;
  ByteReader reader(payload);
  // Of a header that is damaged the tensors are not known.
  if (reader.get<std::uint32_t>() != header_checksum_) return false;
  step_.step = reader.get<std::int64_t>();
  const auto flags = reader.get<std::uint32_t>();
  step_.global_norm = reader.get<double>();
  step_.loss.reset();
  if ((flags & kHasLoss) != 0) step_.loss = reader.get<double>();
  if (!reader.ok() || step_.step < 0 || (flags & ~kKnownFlags) != 0) return false;
  const bool some_absent = (flags & kHasAbsent) != 0;
  const auto bitmap =
      some_absent ? reader.get_bytes(bitmap_bytes(norms_.size())) : std::span<const std::byte>();
  if (!reader.ok()) return false;
  const auto is_present = [&](std::size_t i) {
    return !some_absent || (bitmap[i / 8] >> i % 8 & std::byte{1}) != std::byte{0};
  };
  const bool wide = (flags & kWideNorms) != 0;
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    norms_[i] = kNoGradient;
    if (!is_present(i)) continue;
    norms_[i] = wide ? reader.get<double>() : static_cast<double>(reader.get<float>());
    if (norms_[i] < 0.0) return false;
  }
  step_.norms = norms_;
  return reader.ok() && reader.remaining() == 0;
}

}  // namespace gradstab
