// Recordings: gradient norms of a run, step by step, as bytes. docs/recording-format.md says what each of
// them means. NormRecorder (norm_recorder.hpp) writes them to a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/status.hpp"

namespace gradstab {

/// A tensor whose norms are recorded.
struct RecordedTensor {
  std::string name;
  std::int64_t elements = 0;
  std::string dtype = {};  ///< of its gradient: "float32"; empty where it is not known

  bool operator==(const RecordedTensor&) const = default;
};

/// Something known of the run: "optimizer" and "AdamW". docs/recording-format.md lists the keys that
/// `gradstab inspect` understands; others are kept.
struct RecordedFact {
  std::string key;
  std::string value;

  bool operator==(const RecordedFact&) const = default;
};

/// What the steps behind it are of.
struct RecordingHeader {
  std::vector<RecordedTensor> tensors;
  std::vector<RecordedFact> facts;

  /// The value of a key; empty where there is none.
  std::string_view fact(std::string_view key) const noexcept {
    for (const RecordedFact& each : facts)
      if (each.key == key) return each.value;
    return {};
  }

  bool operator==(const RecordingHeader&) const = default;
};

/// One step as it is read back.
struct RecordedStep {
  std::int64_t step = 0;       ///< as its user counts, at least 0
  std::optional<double> loss;  ///< nothing where none was recorded; it may be NaN
  double global_norm = 0.0;    ///< over all tensors that had a gradient; NaN or infinite if one of theirs is
  std::span<const double> norms;  ///< one per tensor; kNoGradient (transform.hpp) where it had no gradient
};

/// Whether these bytes are the front of a recording, of whatever version.
GRADSTAB_API bool looks_like_recording(std::span<const std::byte> front) noexcept;

/// Makes the bytes of a recording, which are appended to `bytes`. After an error `bytes` is as it was.
class GRADSTAB_API RecordingEncoder {
 public:
  /// What every recording begins with.
  static void start(std::vector<std::byte>& bytes);

  /// The block of a header, which the steps behind it belong to. Errors: a block of more than 256 MiB.
  Status header(const RecordingHeader& header, std::vector<std::byte>& bytes);

  /// The block of a step, with the global norm of `norms`: one per tensor of the last header, kNoGradient
  /// where it had none. Allocates nothing where `bytes` has room. Errors: a step or a norm below 0, another
  /// number of norms.
  Status step(std::int64_t step, std::optional<double> loss, std::span<const double> norms,
              std::vector<std::byte>& bytes) const;

 private:
  std::uint32_t header_checksum_ = 0;
  std::size_t tensors_ = 0;
};

/// Takes what is in a recording, in its order. What it is given is valid during the call.
class GRADSTAB_API RecordingSink {
 public:
  RecordingSink() = default;
  RecordingSink(const RecordingSink&) = delete;
  RecordingSink& operator=(const RecordingSink&) = delete;
  virtual ~RecordingSink();

  virtual void header(const RecordingHeader& header) = 0;
  /// False: no more of them.
  virtual bool step(const RecordedStep& step) = 0;
};

/// Reads a recording as its bytes come, also one that still grows: what is given are whole blocks with the
/// right checksum. Damage costs the blocks that it is in; the next whole one is searched for. Takes no more
/// memory than the bytes it was fed, whatever lengths they claim.
class GRADSTAB_API RecordingReader {
 public:
  /// The next bytes of the file. False: the sink wants no more. Errors: corrupt_data where the file does not
  /// begin as a recording does; version_mismatch for one of a later version.
  Result<bool> feed(std::span<const std::byte> bytes, RecordingSink& sink);

  /// Bytes from the beginning of the file to the end of its last whole block: where to go on writing.
  std::uint64_t whole_bytes() const noexcept { return whole_; }
  /// Bytes behind that which may be the beginning of a block: what a killed writer has left, or what is
  /// written just now.
  std::uint64_t pending_bytes() const noexcept { return buffer_.size() - position_; }
  /// Places where bytes are no block, from one whole block to the next.
  std::int64_t damaged_places() const noexcept { return damaged_; }
  /// Blocks that are whole and of a kind that this version does not know.
  std::int64_t unknown_blocks() const noexcept { return unknown_; }

 private:
  enum class Taken : std::uint8_t { block, nothing, too_short, enough };

  Status take_start();
  Taken take_block(RecordingSink& sink);
  bool read_header(std::span<const std::byte> payload, std::uint32_t checksum);
  bool read_step(std::span<const std::byte> payload);
  void pass_over();

  std::vector<std::byte> buffer_;
  std::size_t position_ = 0;  // in the buffer: of the first byte that is not read
  std::uint64_t before_ = 0;  // bytes of the file before the buffer
  std::uint64_t whole_ = 0;
  std::int64_t damaged_ = 0;
  std::int64_t unknown_ = 0;
  bool started_ = false;
  bool has_header_ = false;
  bool in_damage_ = false;
  std::uint32_t header_checksum_ = 0;
  RecordingHeader header_;
  RecordedStep step_;
  std::vector<double> norms_;
};

}  // namespace gradstab
