#include "lab/run/checkpoint.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <bit>
#include <optional>
#include <utility>

#include "gradstab/tensor.hpp"
#include "lab/run/old_checkpoint.hpp"
#include "lab/support/byte_reader.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

static_assert(std::endian::native == std::endian::little, "checkpoints are little-endian");

constexpr std::string_view kMagic = "GSTBCKPT";
constexpr std::uint32_t kVersion = 2;
constexpr std::uint32_t kVersionOfArchives = 1;
constexpr std::size_t kPreambleBytes = 8 + 4 + 4 + 8;

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_block(std::string& bytes, std::string_view block) {
  put(bytes, static_cast<std::uint64_t>(block.size()));
  bytes.append(block);
}

void put_tensor(std::string& bytes, const StoredTensor& tensor) {
  put_block(bytes, to_string(tensor.dtype));
  put(bytes, static_cast<std::uint64_t>(tensor.sizes.size()));
  for (const std::int64_t size : tensor.sizes) put(bytes, size);
  put_block(bytes, tensor.bytes);
}

std::optional<DType> dtype_named(std::string_view name) {
  for (std::size_t i = 0; i < kDTypeCount; ++i)
    if (name == to_string(static_cast<DType>(i))) return static_cast<DType>(i);
  return {};
}

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

Status corrupt(std::string what) {
  return {StatusCode::corrupt_data, std::move(what)};
}

Result<StoredTensor> read_tensor(ByteReader& bytes) {
  StoredTensor tensor;
  const auto dtype = dtype_named(bytes.block());
  if (!dtype) return corrupt("it is of an unknown dtype");
  tensor.dtype = *dtype;
  const auto rank = bytes.number<std::uint64_t>();
  if (rank > bytes.left() / sizeof(std::int64_t))
    return corrupt("it has more dimensions than there are bytes");
  for (std::uint64_t i = 0; i < rank; ++i) tensor.sizes.push_back(bytes.number<std::int64_t>());
  tensor.bytes = bytes.block();
  const auto expected = byte_count(tensor.dtype, tensor.sizes);
  if (!expected || *expected != tensor.bytes.size())
    return corrupt(fmt::format("it is {} and has {} bytes", tensor.type(), tensor.bytes.size()));
  return tensor;
}

/// Of a payload whose checksum is right. Errors say what is wrong with it.
Result<Checkpoint> read_payload(std::string_view payload, const std::string& header_name) {
  ByteReader bytes(payload);
  auto header = parse_json_object(bytes.block(), header_name);
  if (!header) return header.status();
  Checkpoint checkpoint;
  checkpoint.header = *std::move(header);
  for (auto count = bytes.number<std::uint64_t>(); count > 0 && bytes.ok(); --count) {
    const std::string name(bytes.block());
    auto tensor = read_tensor(bytes);
    if (!bytes.ok()) break;
    if (!tensor) return corrupt(fmt::format("is damaged: tensor '{}': {}", name, tensor.status().message()));
    if (!checkpoint.tensors.emplace(name, *std::move(tensor)).second)
      return corrupt(fmt::format("is damaged: tensor '{}' is in it twice", name));
  }
  for (auto count = bytes.number<std::uint64_t>(); count > 0 && bytes.ok(); --count) {
    const std::string name(bytes.block());
    if (!checkpoint.blobs.emplace(name, bytes.block()).second)
      return corrupt(fmt::format("is damaged: state '{}' is in it twice", name));
  }
  if (!bytes.ok() || bytes.left() > 0) return corrupt("is damaged: its content does not parse");
  return checkpoint;
}

}  // namespace

std::string StoredTensor::type() const {
  return fmt::format("{} {}", to_string(dtype), shape_text(sizes));
}

std::optional<std::uint64_t> byte_count(DType dtype, const std::vector<std::int64_t>& sizes) {
  std::uint64_t count = size_of(dtype);
  for (const std::int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count)) return {};
  }
  return count;
}

Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint) {
  std::string file(kMagic);
  put(file, kVersion);
  put(file, std::uint32_t{0});  // of the checksum and the length, which are known at the end
  put(file, std::uint64_t{0});
  std::size_t expected = 1 << 20;
  for (const auto& [name, tensor] : checkpoint.tensors) expected += tensor.bytes.size();
  for (const auto& [name, blob] : checkpoint.blobs) expected += blob.size();
  file.reserve(expected);
  put_block(file, checkpoint.header.dump(-1, ' ', false, Json::error_handler_t::replace));
  put(file, static_cast<std::uint64_t>(checkpoint.tensors.size()));
  for (const auto& [name, tensor] : checkpoint.tensors) {
    put_block(file, name);
    put_tensor(file, tensor);
  }
  put(file, static_cast<std::uint64_t>(checkpoint.blobs.size()));
  for (const auto& [name, blob] : checkpoint.blobs) {
    put_block(file, name);
    put_block(file, blob);
  }
  const std::string_view payload = std::string_view(file).substr(kPreambleBytes);
  std::string measures;
  put(measures, checksum(payload));
  put(measures, static_cast<std::uint64_t>(payload.size()));
  file.replace(kMagic.size() + sizeof kVersion, measures.size(), measures);
  return write_file_atomically(path, file);
}

Result<Checkpoint> read_checkpoint(const std::filesystem::path& path) {
  auto bytes = read_file(path, kCheckpointFile);
  return bytes ? parse_checkpoint(*std::move(bytes), path) : bytes.status();
}

Result<Checkpoint> parse_checkpoint(std::string bytes, const std::filesystem::path& path) {
  const auto file = std::make_shared<const std::string>(std::move(bytes));
  const auto refuse = [&](std::string_view what) {
    return corrupt(fmt::format("checkpoint '{}' {}", path.string(), what));
  };
  if (!file->starts_with(kMagic))
    return refuse("is not a gradstab checkpoint: it does not begin with GSTBCKPT");
  if (file->size() < kPreambleBytes) return refuse("is truncated: its header is incomplete");
  ByteReader preamble(std::string_view(*file).substr(kMagic.size()));
  const auto version = preamble.number<std::uint32_t>();
  const auto expected_checksum = preamble.number<std::uint32_t>();
  const auto length = preamble.number<std::uint64_t>();
  if (version != kVersion && version != kVersionOfArchives) {
    return Status(StatusCode::version_mismatch,
                  fmt::format("checkpoint '{}' has format version {}, this program reads versions {} and {}",
                              path.string(), version, kVersionOfArchives, kVersion));
  }
  const std::string_view payload = std::string_view(*file).substr(kPreambleBytes);
  if (payload.size() < length)
    return refuse(fmt::format("is truncated: {} of {} bytes are there", payload.size(), length));
  if (payload.size() > length || checksum(payload) != expected_checksum)
    return refuse("is damaged: its checksum does not match its content");
  const std::string header_name = fmt::format("checkpoint '{}'", path.string());
  auto checkpoint = version == kVersion ? read_payload(payload, header_name)
                                        : read_payload_of_archives(payload, header_name);
  if (!checkpoint) {
    const std::string& what = checkpoint.status().message();
    return what.starts_with(header_name) ? checkpoint.status() : refuse(what);
  }
  checkpoint->memory = file;
  return checkpoint;
}

}  // namespace gradstab::lab
