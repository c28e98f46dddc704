#include "lab/train/checkpoint.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <string_view>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr std::string_view kMagic = "GSTBCKPT";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 8 + 4 + 4 + 8;

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_block(std::string& bytes, std::string_view block) {
  put(bytes, static_cast<std::uint64_t>(block.size()));
  bytes.append(block);
}

template <class T>
T take(std::string_view& bytes) {
  T value{};
  if (bytes.size() < sizeof value) throw std::out_of_range("field");
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

std::string_view take_block(std::string_view& bytes) {
  const auto size = take<std::uint64_t>(bytes);
  if (size > bytes.size()) throw std::out_of_range("block");
  const std::string_view block = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return block;
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace

Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  std::string payload;
  put_block(payload, checkpoint.header.dump());
  put(payload, static_cast<std::uint64_t>(checkpoint.blobs.size()));
  for (const auto& [name, blob] : checkpoint.blobs) {
    put_block(payload, name);
    put_block(payload, blob);
  }
  std::string file(kMagic);
  put(file, kVersion);
  put(file, checksum(payload));
  put(file, static_cast<std::uint64_t>(payload.size()));
  file += payload;
  return write_file_atomically(path, file);
}

Result<Checkpoint> read_checkpoint(const std::filesystem::path& path) {
  auto file = read_file(path, kCheckpointFile);
  if (!file) return file.status();
  const auto corrupt = [&](std::string_view what) {
    return Status(StatusCode::corrupt_data, fmt::format("checkpoint '{}' {}", path.string(), what));
  };
  std::string_view rest = *file;
  if (!rest.starts_with(kMagic))
    return corrupt("is not a gradstab checkpoint: it does not begin with GSTBCKPT");
  if (rest.size() < kHeaderBytes) return corrupt("is truncated: its header is incomplete");
  rest.remove_prefix(kMagic.size());
  const auto version = take<std::uint32_t>(rest);
  const auto expected_checksum = take<std::uint32_t>(rest);
  const auto length = take<std::uint64_t>(rest);
  if (version != kVersion) {
    return Status(StatusCode::version_mismatch,
                  fmt::format("checkpoint '{}' has format version {}, this program reads version {}",
                              path.string(), version, kVersion));
  }
  if (rest.size() < length) {
    return corrupt(fmt::format("is truncated: {} of {} bytes are there", rest.size(), length));
  }
  if (rest.size() > length || checksum(rest) != expected_checksum) {
    return corrupt("is damaged: its checksum does not match its content");
  }
  try {
    Checkpoint checkpoint;
    checkpoint.header = nlohmann::ordered_json::parse(take_block(rest));
    const auto blobs = take<std::uint64_t>(rest);
    for (std::uint64_t i = 0; i < blobs; ++i) {
      const std::string name(take_block(rest));
      checkpoint.blobs[name] = take_block(rest);
    }
    return checkpoint;
  } catch (const std::exception&) {
    return corrupt("is damaged: its content does not parse");
  }
}

}  // namespace gradstab::lab
