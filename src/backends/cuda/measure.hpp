// measure: sums of squares, chunk by chunk, and by the last block of a segment the segment's.
#pragma once

#include "backends/cuda/elements.hpp"
#include "backends/cuda/tables.hpp"

namespace gradstab::device {

/// Groups that a thread has in flight at the same time, each with an accumulator of its own.
inline constexpr int kGroupsInFlight = 4;

/// Adds the squares of one group. 16-bit formats add two neighbours in float first, with a relative error of
/// at most 2^-24, as the CPU does.
template <class Format, int kCount>
GRADSTAB_DEVICE_INLINE double add_squares(const typename Format::Bits (&group)[kCount], double sum) {
  if constexpr (sizeof(typename Format::Bits) == 4) {
    GRADSTAB_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const auto value = static_cast<double>(Format::load(group[i]));
      sum = fused(value, value, sum);
    }
  } else {
    GRADSTAB_UNROLL
    for (int i = 0; i < kCount; i += 2) {
      const float a = Format::load(group[i]);
      const float b = Format::load(group[i + 1]);
      const float pair = fused(a, a, b * b);
      if (Format::kPairsAlwaysFit || (pair > 0x1p-100f && pair < 0x1p+100f)) {
        sum += static_cast<double>(pair);
      } else {
        const auto wide_a = static_cast<double>(a);
        const auto wide_b = static_cast<double>(b);
        sum = fused(wide_b, wide_b, fused(wide_a, wide_a, sum));
      }
    }
  }
  return sum;
}

template <int kCount, class T>
GRADSTAB_DEVICE_INLINE void load_anywhere(T (&into)[kCount], const T* from, bool aligned) {
  if (aligned) return load_group(into, from);
  GRADSTAB_UNROLL
  for (int i = 0; i < kCount; ++i) into[i] = from[i];
}

/// The part of one thread in the sum of squares of `count` elements. Which elements it takes and in which
/// order depends on `count` alone.
template <class Format>
GRADSTAB_DEVICE_INLINE double thread_squares(const void* data, std::uint32_t count, unsigned thread) {
  using Bits = typename Format::Bits;
  constexpr int kGroup = 16 / static_cast<int>(sizeof(Bits));
  const auto* elements = static_cast<const Bits*>(data);
  const bool aligned = aligned_to(data, 16);
  const std::uint32_t groups = count / kGroup;
  double sums[kGroupsInFlight] = {};
  std::uint32_t first = thread;
  for (; first + (kGroupsInFlight - 1) * kThreads < groups; first += kGroupsInFlight * kThreads) {
    Bits group[kGroupsInFlight][kGroup];
    GRADSTAB_UNROLL
    for (int k = 0; k < kGroupsInFlight; ++k) {
      const std::uint32_t at = (first + static_cast<unsigned>(k) * kThreads) * kGroup;
      load_anywhere(group[k], elements + at, aligned);
    }
    GRADSTAB_UNROLL
    for (int k = 0; k < kGroupsInFlight; ++k) sums[k] = add_squares<Format>(group[k], sums[k]);
  }
  for (; first < groups; first += kThreads) {
    Bits group[kGroup];
    load_anywhere(group, elements + first * kGroup, aligned);
    sums[0] = add_squares<Format>(group, sums[0]);
  }
  if (const std::uint32_t last = groups * kGroup + thread; last < count) {
    const auto value = static_cast<double>(Format::load(elements[last]));
    sums[0] = fused(value, value, sums[0]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

GRADSTAB_DEVICE_INLINE double thread_squares(const TensorAddress& address, const Chunk& chunk,
                                             unsigned thread) {
  if (address.gradient == nullptr) return 0.0;
  const auto* bytes = static_cast<const unsigned char*>(address.gradient) +
                      static_cast<std::size_t>(chunk.begin) * bytes_of(address.gradient_dtype);
  return visit_format(address.gradient_dtype, [&]<class Format>(Format) {
    return thread_squares<Format>(bytes, chunk.count, thread);
  });
}

/// Sums `count` doubles that other blocks have written.
template <class Block>
GRADSTAB_HOST_DEVICE double sum_of(Block& block, const double* values, std::uint32_t count) {
  return block.sum([&](unsigned thread) {
    double sum = 0.0;
    for (std::uint32_t i = thread; i < count; i += kThreads) sum += Block::load_fresh(values + i);
    return sum;
  });
}

/// Tensors without elements have no block; another process may have added what it has of them.
template <class Block>
GRADSTAB_HOST_DEVICE void clear_empty_tensors(Block& block, const Tables& tables) {
  block.each([&](unsigned thread) {
    for (std::uint32_t t = thread; t < tables.tensor_count; t += kThreads) {
      if (tables.plans[t].filled_segments == 0) tables.tensor_squared[t] = 0.0;
    }
  });
}

/// One block: one chunk. The block that arrives last at a segment adds its chunks, always in the same order;
/// likewise for tensors of several segments.
template <class Block>
GRADSTAB_HOST_DEVICE void measure_chunk(Block& block, const Tables& tables, const Launch& launch,
                                        std::uint32_t index) {
  const Chunk chunk = tables.chunks[index];
  const TensorAddress address = launch.address_of(tables, chunk.tensor);
  const Segment segment = tables.segments[chunk.segment];
  double sum = block.sum([&](unsigned thread) { return thread_squares(address, chunk, thread); });
  if (segment.chunk_count > 1) {
    block.lead([&] { tables.partials[index] = sum; });
    if (!block.arrives_last(tables.segment_arrivals + chunk.segment, segment.chunk_count)) return;
    sum = sum_of(block, tables.partials + segment.first_chunk, segment.chunk_count);
  }
  const TensorPlan& plan = tables.plans[chunk.tensor];
  block.lead([&] {
    tables.segment_squared[chunk.segment] = sum;
    if (plan.filled_segments == 1) tables.tensor_squared[chunk.tensor] = sum;
  });
  if (plan.filled_segments == 1) return;
  if (!block.arrives_last(tables.tensor_arrivals + chunk.tensor, plan.filled_segments)) return;
  sum = sum_of(block, tables.segment_squared + plan.first_segment, plan.segment_count);
  block.lead([&] { tables.tensor_squared[chunk.tensor] = sum; });
}

}  // namespace gradstab::device
