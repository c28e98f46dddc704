#include "core/base/state_codec.hpp"

#include <array>
#include <cmath>

#include "core/base/text.hpp"

namespace gradstab {
namespace {

constexpr std::string_view kMagic = "GRADSTAB";
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kHeaderBytes = 8 + 4 + 4 + 8;

/// Tables for eight bytes at once: [k][b] is what the byte b does k bytes before the end.
constexpr std::size_t kCrcStride = 8;
using CrcTables = std::array<std::array<std::uint32_t, 256>, kCrcStride>;
constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) ? 0xEDB88320u : 0u);
    tables[0][i] = value;
  }
  for (std::size_t k = 1; k < kCrcStride; ++k)
    for (std::size_t i = 0; i < 256; ++i)
      tables[k][i] = (tables[k - 1][i] >> 8) ^ tables[0][tables[k - 1][i] & 0xFFu];
  return tables;
}
constexpr CrcTables kCrcTables = make_crc_tables();

}  // namespace

void ByteWriter::put(std::string_view text) {
  put(static_cast<std::uint32_t>(text.size()));
  put(std::as_bytes(std::span(text.data(), text.size())));
}

void ByteWriter::put(std::span<const std::byte> bytes) {
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

double ByteWriter::number(const Named& named, std::size_t index) const noexcept {
  const auto read = [&](auto value) {
    std::memcpy(&value, bytes_.data() + named.offset + index * sizeof value, sizeof value);
    return static_cast<double>(value);
  };
  switch (named.kind) {
    case Named::Kind::float64:
      return read(double{});
    case Named::Kind::int64:
      return read(std::int64_t{});
    case Named::Kind::int32:
      return read(std::int32_t{});
  }
  return 0.0;
}

bool ByteWriter::set_number(const Named& named, std::size_t index, double value) noexcept {
  const auto write = [&](auto typed) {
    std::memcpy(bytes_.data() + named.offset + index * sizeof typed, &typed, sizeof typed);
    return true;
  };
  if (named.kind == Named::Kind::float64) return write(value);
  // Up to here doubles tell all whole numbers apart; also false for NaN.
  const double largest = named.kind == Named::Kind::int64 ? 9007199254740992.0 : 2147483647.0;
  if (!(std::fabs(value) <= largest) || value != std::trunc(value)) return false;
  return named.kind == Named::Kind::int64 ? write(static_cast<std::int64_t>(value))
                                          : write(static_cast<std::int32_t>(value));
}

bool ByteReader::take(std::size_t count) {
  if (!ok_ || count > remaining()) return ok_ = false;
  position_ += count;
  return true;
}

std::string ByteReader::get_string() {
  const auto bytes = get_bytes(get<std::uint32_t>());
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> ByteReader::get_bytes(std::size_t count) {
  if (!take(count)) return {};
  return bytes_.subspan(position_ - count, count);
}

void save_settings(ByteWriter& writer, const SettingsWriter& settings) {
  writer.put(static_cast<std::uint32_t>(settings.entries().size()));
  for (const auto& [key, value] : settings.entries()) {
    writer.put(std::string_view(key));
    writer.put(static_cast<std::uint8_t>(value.index()));
    if (const double* number = std::get_if<double>(&value)) {
      writer.put(*number);
    } else {
      writer.put(std::string_view(std::get<std::string>(value)));
    }
  }
}

Status check_settings(ByteReader& reader, const SettingsWriter& here, std::string_view method) {
  const auto text_of = [](const SettingsWriter::Value& value) {
    if (const double* number = std::get_if<double>(&value)) return detail::concat(*number);
    return "'" + std::get<std::string>(value) + "'";
  };
  const auto count = reader.get<std::uint32_t>();
  if (count != here.entries().size()) {
    return {StatusCode::corrupt_data, detail::concat("state of '", method, "' has ", count,
                                                     " settings, expected ", here.entries().size())};
  }
  for (const auto& [key, value] : here.entries()) {
    const std::string saved_key = reader.get_string();
    SettingsWriter::Value saved;
    if (reader.get<std::uint8_t>() == 0) {
      saved = reader.get<double>();
    } else {
      saved = reader.get_string();
    }
    if (!reader.ok()) return {StatusCode::corrupt_data, "state ends inside its settings"};
    if (saved_key != key || saved != value) {
      return {StatusCode::invalid_argument,
              detail::concat(method, " has ", key, " = ", text_of(value), " here but ", saved_key, " = ",
                             text_of(saved), " in the saved state")};
    }
  }
  return {};
}

std::uint32_t crc32(std::span<const std::byte> bytes) noexcept {
  const auto& tables = kCrcTables;
  std::uint32_t value = 0xFFFFFFFFu;
  for (; bytes.size() >= kCrcStride; bytes = bytes.subspan(kCrcStride)) {
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    std::memcpy(&low, bytes.data(), sizeof low);
    std::memcpy(&high, bytes.data() + sizeof low, sizeof high);
    low ^= value;
    value = tables[7][low & 0xFFu] ^ tables[6][low >> 8 & 0xFFu] ^ tables[5][low >> 16 & 0xFFu] ^
            tables[4][low >> 24] ^ tables[3][high & 0xFFu] ^ tables[2][high >> 8 & 0xFFu] ^
            tables[1][high >> 16 & 0xFFu] ^ tables[0][high >> 24];
  }
  for (const std::byte byte : bytes)
    value = tables[0][(value ^ std::to_integer<std::uint32_t>(byte)) & 0xFFu] ^ (value >> 8);
  return ~value;
}

std::vector<std::byte> wrap_state(std::span<const std::byte> payload) {
  ByteWriter writer;
  writer.put(std::as_bytes(std::span(kMagic.data(), kMagic.size())));
  writer.put(kVersion);
  writer.put(crc32(payload));
  writer.put(static_cast<std::uint64_t>(payload.size()));
  writer.put(payload);
  return std::move(writer).take();
}

Result<std::span<const std::byte>> unwrap_state(std::span<const std::byte> bytes) {
  const auto corrupt = [](std::string message) {
    return Status(StatusCode::corrupt_data, std::move(message));
  };
  if (bytes.size() < kMagic.size() || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return corrupt("not a gradstab state: it does not begin with 'GRADSTAB'");
  }
  if (bytes.size() < kHeaderBytes) {
    return corrupt(
        detail::concat("state is truncated: ", bytes.size(), " bytes, the header alone has ", kHeaderBytes));
  }
  ByteReader reader(bytes.subspan(kMagic.size()));
  const auto version = reader.get<std::uint32_t>();
  const auto checksum = reader.get<std::uint32_t>();
  const auto length = reader.get<std::uint64_t>();
  if (version != kVersion) {
    return Status(StatusCode::version_mismatch, detail::concat("state has format version ", version,
                                                               ", this library reads version ", kVersion));
  }
  const auto payload = bytes.subspan(kHeaderBytes);
  if (payload.size() != length) {
    return corrupt(detail::concat("state is truncated or padded: ", payload.size(),
                                  " bytes follow the header, expected ", length));
  }
  if (crc32(payload) != checksum) return corrupt("state is damaged: its checksum does not match its content");
  return payload;
}

}  // namespace gradstab
