#include "lab/llm/data/batch_sampler.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lab/support/hashing.hpp"
#include "lab/support/permutation.hpp"

namespace gradstab::lab {
namespace {

// Separates the random streams drawn from one epoch key.
enum class Stream : std::uint64_t { offset = 1, order = 2 };

std::uint64_t epoch_key(std::uint64_t seed, std::uint64_t epoch, Stream stream) {
  return mix64(mix64(mix64(seed) ^ epoch) ^ static_cast<std::uint64_t>(stream));
}

Status check_windows(TokenView tokens, std::int64_t context, std::int64_t batch_size) {
  if (context < 1) {
    return {StatusCode::invalid_argument, fmt::format("context must be at least 1, got {}", context)};
  }
  if (batch_size < 1) {
    return {StatusCode::invalid_argument, fmt::format("batch_size must be at least 1, got {}", batch_size)};
  }
  if (const auto needed = static_cast<std::uint64_t>(context) + 1; tokens.size() < needed) {
    return {
        StatusCode::invalid_argument,
        fmt::format("a window needs context + 1 = {} tokens, but this part of the data has {}; use more text "
                    "or a smaller context",
                    needed, tokens.size())};
  }
  return {};
}

}  // namespace

Result<BatchSampler> BatchSampler::create(TokenView tokens, std::int64_t context, std::int64_t batch_size,
                                          std::uint64_t seed) {
  if (Status status = check_windows(tokens, context, batch_size); !status.ok()) return status;
  BatchSampler sampler;
  sampler.tokens_ = tokens;
  sampler.context_ = static_cast<std::uint64_t>(context);
  sampler.batch_size_ = static_cast<std::uint64_t>(batch_size);
  sampler.seed_ = seed;
  // One window is given up, where there are several, to let the grid start anywhere within a window's length.
  const std::uint64_t targets = tokens.size() - 1;
  const std::uint64_t most = targets / sampler.context_;
  sampler.windows_ = std::max<std::uint64_t>(1, most - 1);
  sampler.offsets_ = std::min(sampler.context_, targets - sampler.windows_ * sampler.context_ + 1);
  return sampler;
}

std::uint64_t BatchSampler::window_start(std::uint64_t epoch, std::uint64_t position) const {
  const std::uint64_t offset = epoch_key(seed_, epoch, Stream::offset) % offsets_;
  return offset + permuted_index(position, windows_, epoch_key(seed_, epoch, Stream::order)) * context_;
}

void BatchSampler::batch(std::uint64_t index, std::span<std::int64_t> out) const {
  const std::size_t row_size = context_ + 1;
  const std::uint64_t rows = std::min<std::uint64_t>(batch_size_, out.size() / row_size);
  for (std::uint64_t row = 0; row < rows; ++row) {
    const std::uint64_t sample = index * batch_size_ + row;
    tokens_.copy_to(window_start(sample / windows_, sample % windows_),
                    out.subspan(row * row_size, row_size));
  }
}

Result<SequentialSampler> SequentialSampler::create(TokenView tokens, std::int64_t context,
                                                    std::int64_t batch_size) {
  if (Status status = check_windows(tokens, context, batch_size); !status.ok()) return status;
  SequentialSampler sampler;
  sampler.tokens_ = tokens;
  sampler.context_ = static_cast<std::uint64_t>(context);
  sampler.batch_size_ = static_cast<std::uint64_t>(batch_size);
  sampler.windows_ = (tokens.size() - 1) / sampler.context_;
  return sampler;
}

std::int64_t SequentialSampler::batch(std::uint64_t index, std::span<std::int64_t> out) const {
  if (index >= batches()) return 0;
  const std::size_t row_size = context_ + 1;
  const std::uint64_t first = index * batch_size_;
  const std::uint64_t rows = std::min({batch_size_, windows_ - first, std::uint64_t{out.size() / row_size}});
  for (std::uint64_t row = 0; row < rows; ++row) {
    tokens_.copy_to((first + row) * context_, out.subspan(row * row_size, row_size));
  }
  return static_cast<std::int64_t>(rows);
}

}  // namespace gradstab::lab
