// apply: multiplies the gradients by their factors, or replaces them by zeros.
#pragma once

#include "backends/cuda/elements.hpp"
#include "backends/cuda/tables.hpp"

namespace gradstab::device {

/// A factor, and its nearest float, with which most products of 16-bit elements can be formed.
struct Factor {
  double whole;
  float nearest;
  bool ordinary;  ///< far from the ends of float's range

  GRADSTAB_DEVICE_INLINE explicit Factor(double factor)
      : whole(factor),
        nearest(static_cast<float>(factor)),
        ordinary(std::fabs(factor) > 0x1p-60 && std::fabs(factor) < 0x1p+60) {}
};

/// value * factor, formed in double and rounded once.
///
/// To 16 bits, the product of two floats is off by less than 1.5 of its last digits, so rounding it is
/// rounding the double product unless it is as near as that to the middle between two neighbours: one element
/// in thousands, for which, and at the ends of the range, the product is formed in double. A factor of few
/// digits such as 0.75 meets the middle often.
template <class Format>
GRADSTAB_DEVICE_INLINE typename Format::Bits scaled(typename Format::Bits bits, const Factor& factor) {
  const float value = Format::load(bits);
  if constexpr (sizeof(typename Format::Bits) == 4) {
    return bits_of(static_cast<float>(static_cast<double>(value) * factor.whole));
  } else {
    const float product = value * factor.nearest;
    const std::uint32_t from_middle = (bits_of(product) - Format::kMiddle + 2u) & (2 * Format::kMiddle - 1);
    const float magnitude = std::fabs(product);
    const bool inside = (magnitude >= Format::kSmallestNormal && magnitude < 0x1p+120f) || value == 0.0f;
    if (factor.ordinary && from_middle > 4u && inside) return Format::round(product);
    return Format::round(round_to_odd(static_cast<double>(value) * factor.whole));
  }
}

/// The part of one thread in `count` elements.
template <class Format>
GRADSTAB_DEVICE_INLINE void thread_scale(void* data, std::uint32_t count, const Factor& factor, bool zeroed,
                                         unsigned thread) {
  using Bits = typename Format::Bits;
  constexpr unsigned kGroup = 16 / sizeof(Bits);
  auto* elements = static_cast<Bits*>(data);
  const auto one = [&](std::uint32_t i) {
    elements[i] = zeroed ? Bits{0} : scaled<Format>(elements[i], factor);
  };
  // Single elements up to the first whole vector, and after the last.
  const auto misplaced = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(data) % 16 / sizeof(Bits));
  const std::uint32_t wanted = misplaced == 0 ? 0 : kGroup - misplaced;
  const std::uint32_t head = wanted < count ? wanted : count;
  const std::uint32_t groups = (count - head) / kGroup;
  const std::uint32_t tail = head + groups * kGroup;
  if (thread < head) one(thread);
  if (tail + thread < count) one(tail + thread);
  Bits* body = elements + head;
  constexpr int kInFlight = 4;
  std::uint32_t first = thread;
  for (; first + (kInFlight - 1) * kThreads < groups; first += kInFlight * kThreads) {
    Bits group[kInFlight][kGroup];
    GRADSTAB_UNROLL
    for (int k = 0; k < kInFlight; ++k)
      load_group(group[k], body + (first + static_cast<unsigned>(k) * kThreads) * kGroup);
    GRADSTAB_UNROLL
    for (int k = 0; k < kInFlight; ++k) {
      GRADSTAB_UNROLL
      for (unsigned i = 0; i < kGroup; ++i)
        group[k][i] = zeroed ? Bits{0} : scaled<Format>(group[k][i], factor);
      store_group(body + (first + static_cast<unsigned>(k) * kThreads) * kGroup, group[k]);
    }
  }
  for (; first < groups; first += kThreads) {
    Bits group[kGroup];
    load_group(group, body + first * kGroup);
    GRADSTAB_UNROLL
    for (unsigned i = 0; i < kGroup; ++i) group[i] = zeroed ? Bits{0} : scaled<Format>(group[i], factor);
    store_group(body + first * kGroup, group);
  }
}

/// One block: one chunk.
template <class Block>
GRADSTAB_HOST_DEVICE void apply_chunk(Block& block, const Tables& tables, std::uint32_t index) {
  if (tables.counters->skip != 0) return;
  const Chunk chunk = tables.chunks[index];
  const TensorReport report = tables.reports[chunk.tensor];
  if (!report.present || (!report.zeroed && report.factor == 1.0)) return;
  const TensorAddress address = tables.addresses[chunk.tensor];
  if (address.gradient == nullptr) return;  // only other processes have a gradient
  void* data = static_cast<unsigned char*>(address.gradient) +
               static_cast<std::size_t>(chunk.begin) * bytes_of(address.gradient_dtype);
  const Factor factor(report.factor);
  block.each([&](unsigned thread) {
    visit_format(address.gradient_dtype, [&]<class Format>(Format) {
      thread_scale<Format>(data, chunk.count, factor, report.zeroed, thread);
    });
  });
}

}  // namespace gradstab::device
