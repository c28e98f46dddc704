// The format of TensorBoard's event files, for what reads and what writes them: records of TFRecord, in each
// an Event message, whose fields are those of TensorFlow's event.proto, summary.proto and tensor.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lab/support/byte_reader.hpp"
#include "lab/support/crc32c.hpp"

namespace gradstab::lab::event_format {

/// A record is a u64 length, a u32 checksum of it, the payload, and a u32 checksum of that, little-endian.
inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kFooterBytes = 4;

/// The checksum of TFRecord: a CRC-32C that is turned and moved, so that a file of checksums has others.
inline std::uint32_t masked_checksum(std::string_view bytes) noexcept {
  const std::uint32_t value = crc32c(bytes);
  return (value >> 15 | value << 17) + 0xa282ead8U;
}

/// The length of the payload behind this header; nothing where the checksum is another.
inline std::optional<std::uint64_t> length_in(std::string_view header) {
  ByteReader reader(header);
  const auto length = reader.number<std::uint64_t>();
  const auto checksum = reader.number<std::uint32_t>();
  if (!reader.ok() || masked_checksum(header.substr(0, sizeof length)) != checksum) return std::nullopt;
  return length;
}

template <class T>
void append_little_endian(std::string& bytes, T value) {
  for (std::size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
}

/// Adds a whole record.
inline void append_record(std::string& bytes, std::string_view payload) {
  const std::size_t begin = bytes.size();
  append_little_endian(bytes, std::uint64_t{payload.size()});
  append_little_endian(bytes, masked_checksum(std::string_view(bytes).substr(begin)));
  bytes += payload;
  append_little_endian(bytes, masked_checksum(payload));
}

/// What the first event of a file says: with it a restart is a SessionLog and not merely a step that falls.
inline constexpr std::string_view kFileVersion = "brain.Event:2";

enum EventField : std::uint32_t {
  kEventWallTime = 1,  ///< double, seconds since 1970
  kEventStep = 2,      ///< int64; 0 where it is missing
  kEventFileVersion = 3,
  kEventSummary = 5,
  kEventSessionLog = 7
};
enum SessionLogField : std::uint32_t { kSessionStatus = 1 };
/// Of a SessionLog: the run goes on from the step of the event. What stands before it, of that step or a
/// later one, is void.
inline constexpr std::int32_t kSessionStart = 1;
enum SummaryField : std::uint32_t { kSummaryValue = 1 };
enum ValueField : std::uint32_t { kValueTag = 1, kValueSimple = 2, kValueTensor = 8 };
enum TensorField : std::uint32_t {
  kTensorDType = 1,
  kTensorContent = 4,
  kTensorFloat = 5,
  kTensorDouble = 6,
  kTensorInt = 7,
  kTensorString = 8,
  kTensorInt64 = 10,
  kTensorHalf = 13
};
enum TensorType { kFloat = 1, kDouble = 2, kInt32 = 3, kString = 7, kInt64 = 9, kBFloat16 = 14, kHalf = 19 };

}  // namespace gradstab::lab::event_format
