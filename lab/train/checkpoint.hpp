// The checkpoint file: a JSON header and named blobs behind a checksum.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// Bytes 0-7 "GSTBCKPT", then little-endian u32 format version, u32 CRC-32 of the payload, u64 payload
/// length, payload.
struct Checkpoint {
  nlohmann::ordered_json header;             ///< progress of the run and what the blobs belong to
  std::map<std::string, std::string> blobs;  ///< weights, optimizer and transform state
};

/// Atomically: a crash leaves the previous checkpoint.
Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Errors name the path: missing, not a checkpoint, another format version, truncated, damaged.
Result<Checkpoint> read_checkpoint(const std::filesystem::path& path);

}  // namespace gradstab::lab
