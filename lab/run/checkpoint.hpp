// The checkpoint file: a JSON header, tensors and named bytes behind a checksum. Nothing in it is run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

/// One tensor, contiguous, row-major, little-endian.
struct StoredTensor {
  DType dtype = DType::float32;
  std::vector<std::int64_t> sizes;
  std::string_view bytes;  ///< as many as dtype and sizes say; may be at any address

  /// "float32 [3, 4]"
  std::string type() const;
};

/// Nothing for a negative size or a product beyond 64 bits.
std::optional<std::uint64_t> byte_count(DType dtype, const std::vector<std::int64_t>& sizes);

/// What a run goes on from.
struct Checkpoint {
  Json header;                                  ///< progress of the run and what the tensors belong to
  std::map<std::string, StoredTensor> tensors;  ///< weights, and the optimizer's state where it is LibTorch's
  std::map<std::string, std::string_view> blobs;  ///< states in formats of their own (docs/state-format.md)
  std::shared_ptr<const std::string> memory;  ///< of a checkpoint that was read: what the views point into
};

/// Atomically: a crash leaves the previous checkpoint.
///
/// Bytes 0-7 "GSTBCKPT", then little-endian u32 format version, u32 CRC-32 of the payload, u64 payload
/// length, payload: the header as a block, u64 number of tensors, of each its name and "float32" as blocks,
/// u64 rank, sizes as i64, values as a block; u64 number of blobs, of each name and bytes as blocks. A block
/// is a u64 length and as many bytes.
Status write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Errors name the path: missing, not a checkpoint, another format version, truncated, damaged, a tensor
/// whose bytes are not what dtype and shape say. Version 1, which held LibTorch's archives, is read as far as
/// an archive holds tensors (torch_archive.hpp); the code in it is not looked at.
Result<Checkpoint> read_checkpoint(const std::filesystem::path& path);

/// The same of the file's bytes; `path` is for messages.
Result<Checkpoint> parse_checkpoint(std::string bytes, const std::filesystem::path& path);

// Names of what a trainer puts in. A weight's is that of the parameter, behind the prefix.
inline constexpr std::string_view kWeightPrefix = "weights/";
inline constexpr std::string_view kAveragePrefix = "average/";
inline constexpr std::string_view kBestPrefix = "best/";
/// State of LibTorch's own optimizer: "optimizer/exp_avg/lm_head.weight".
inline constexpr std::string_view kOptimizerPrefix = "optimizer/";
/// State of this library's optimizer, transform included.
inline constexpr const char* kOptimizerBlob = "optimizer";
/// State of the transform in front of LibTorch's optimizer.
inline constexpr const char* kTransformBlob = "transform";

}  // namespace gradstab::lab
