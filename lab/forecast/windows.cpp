#include "lab/forecast/windows.hpp"

#include <algorithm>

#include "lab/support/arithmetic.hpp"
#include "lab/support/hashing.hpp"
#include "lab/support/permutation.hpp"

namespace gradstab::lab::forecast {

Windows::Windows(const StandardSeries& series, PartRows part, std::int64_t look_back, std::int64_t horizon)
    : series_(&series),
      look_back_(look_back),
      horizon_(horizon),
      first_(std::max<std::int64_t>(0, part.begin - look_back)),
      count_(std::max<std::int64_t>(0, part.end - first_ - look_back - horizon + 1)) {}

void Windows::copy(std::span<const std::int64_t> indices, float* inputs, float* targets) const {
  for (const std::int64_t index : indices)
    for (std::int64_t channel = 0; channel < channels(); ++channel) {
      inputs = std::copy_n(input(index, channel), look_back_, inputs);
      targets = std::copy_n(target(index, channel), horizon_, targets);
    }
}

WindowOrder::WindowOrder(std::int64_t windows, std::int64_t batch, std::uint64_t seed, bool drop_last)
    // What is left out of an epoch is another part in each: the order is that of all windows.
    : windows_(windows),
      batch_(batch),
      seed_(seed),
      batches_per_epoch_(divided_up(in_whole_batches(windows, batch, drop_last), batch)) {}

std::int64_t WindowOrder::size(std::uint64_t index) const noexcept {
  const auto in_epoch = static_cast<std::int64_t>(index % static_cast<std::uint64_t>(batches_per_epoch_));
  return std::min(batch_, windows_ - in_epoch * batch_);
}

void WindowOrder::batch(std::uint64_t index, std::span<std::int64_t> out) const noexcept {
  const auto epoch = index / static_cast<std::uint64_t>(batches_per_epoch_);
  const auto first =
      index % static_cast<std::uint64_t>(batches_per_epoch_) * static_cast<std::uint64_t>(batch_);
  const std::uint64_t key = mix64(mix64(seed_) ^ epoch);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::int64_t>(permuted_index(first + i, static_cast<std::uint64_t>(windows_), key));
}

std::int64_t in_whole_batches(std::int64_t windows, std::int64_t batch, bool drop_last) noexcept {
  return drop_last && windows >= batch ? windows / batch * batch : windows;
}

}  // namespace gradstab::lab::forecast
