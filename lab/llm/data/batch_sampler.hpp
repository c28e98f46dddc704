// Fixed-length windows of a token sequence: shuffled for training, in order for evaluation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gradstab/status.hpp"
#include "lab/llm/data/token_view.hpp"

namespace gradstab::lab {

/// Shuffled training batches as a pure function of (seed, batch index): any batch can be made at any time, in
/// any process, on any machine, without state to save.
///
/// A window is context + 1 tokens: context inputs and, shifted by one, context targets. The grid of windows
/// in an epoch covers the sequence without overlap of inputs; it starts at an offset drawn per epoch, so that
/// document positions relative to windows vary. An epoch visits every window of its grid once. A batch may
/// span two epochs.
class BatchSampler {
 public:
  /// The tokens must outlive the sampler. invalid_argument when context or batch_size is below 1, or when
  /// there are fewer than context + 1 tokens.
  static Result<BatchSampler> create(TokenView tokens, std::int64_t context, std::int64_t batch_size,
                                     std::uint64_t seed);

  /// Fills row-major batch_size x (context + 1) ids. `out` must have that many elements; of a shorter one
  /// only whole rows are filled.
  void batch(std::uint64_t index, std::span<std::int64_t> out) const;

  /// Start, in tokens, of the window at `position` (below windows_per_epoch()) in the order of `epoch`.
  std::uint64_t window_start(std::uint64_t epoch, std::uint64_t position) const;

  std::uint64_t windows_per_epoch() const noexcept { return windows_; }
  std::int64_t context() const noexcept { return static_cast<std::int64_t>(context_); }
  std::int64_t batch_size() const noexcept { return static_cast<std::int64_t>(batch_size_); }

 private:
  BatchSampler() = default;

  TokenView tokens_;
  std::uint64_t context_ = 0;
  std::uint64_t batch_size_ = 0;
  std::uint64_t seed_ = 0;
  std::uint64_t windows_ = 0;  // per epoch
  std::uint64_t offsets_ = 0;  // an epoch's grid starts in [0, offsets_)
};

/// Evaluation batches: non-overlapping windows (of inputs) from the first token on; a last part shorter than
/// a window is left out.
class SequentialSampler {
 public:
  /// As BatchSampler::create.
  static Result<SequentialSampler> create(TokenView tokens, std::int64_t context, std::int64_t batch_size);

  /// Fills rows of context + 1 ids from window index * batch_size on and returns how many: batch_size, fewer
  /// in the last batch, 0 after it. `out` as in BatchSampler::batch.
  std::int64_t batch(std::uint64_t index, std::span<std::int64_t> out) const;

  std::uint64_t windows() const noexcept { return windows_; }
  /// Number of batches with at least one row.
  std::uint64_t batches() const noexcept { return (windows_ + batch_size_ - 1) / batch_size_; }

 private:
  SequentialSampler() = default;

  TokenView tokens_;
  std::uint64_t context_ = 0;
  std::uint64_t batch_size_ = 1;
  std::uint64_t windows_ = 0;
};

}  // namespace gradstab::lab
