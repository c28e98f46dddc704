// What the scale of a group of values is made from: its range and its largest magnitudes.
//
// Comparing floating-point numbers by their bits as integers gives NaN and infinity a place above everything
// else, and loops that compilers turn into vector instructions without being told to ignore NaN.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

namespace gradstab::lab::detail {

template <class T>
using Bits = std::conditional_t<sizeof(T) == sizeof(std::int32_t), std::int32_t, std::int64_t>;

/// Those of |x|: in the order of the magnitudes, NaN last.
template <class T>
Bits<T> magnitude_bits(T x) noexcept {
  return std::bit_cast<Bits<T>>(x) & std::numeric_limits<Bits<T>>::max();
}

template <class T>
T magnitude_of(Bits<T> bits) noexcept {
  return std::bit_cast<T>(bits);
}

template <class T>
bool is_finite_magnitude(Bits<T> bits) noexcept {
  return bits < std::bit_cast<Bits<T>>(std::numeric_limits<T>::infinity());
}

template <class T, std::size_t kExtent>
Bits<T> largest_magnitude(std::span<const T, kExtent> values) noexcept {
  Bits<T> largest = 0;
  for (const T value : values) largest = std::max(largest, magnitude_bits(value));
  return largest;
}

template <class T>
struct Range {
  T lowest = 0;
  T highest = 0;
  bool finite = true;
};

/// Smallest and largest value.
template <class T>
Range<T> range_of(std::span<const T> values) noexcept {
  using B = Bits<T>;
  constexpr B kMost = std::numeric_limits<B>::max();
  // In the order of the numbers, from -NaN to NaN; its own inverse.
  const auto ordered = [](B bits) { return bits ^ (bits < 0 ? kMost : B{0}); };
  B lowest = kMost;
  B highest = std::numeric_limits<B>::min();
  for (const T value : values) {
    const B bits = ordered(std::bit_cast<B>(value));
    lowest = std::min(lowest, bits);
    highest = std::max(highest, bits);
  }
  const T low = std::bit_cast<T>(ordered(lowest));
  const T high = std::bit_cast<T>(ordered(highest));
  return {low, high,
          is_finite_magnitude<T>(magnitude_bits(low)) && is_finite_magnitude<T>(magnitude_bits(high))};
}

/// The values of largest magnitude, falling; the first of equals comes first.
template <class T, std::size_t kMost>
class Largest {
 public:
  struct Entry {
    Bits<T> magnitude = -1;
    std::size_t index = 0;
  };

  /// Finds the `count` largest, at most kMost.
  Largest(std::span<const T> values, std::size_t count) noexcept : count_(count) {
    // They are in the `count` blocks with the largest maxima, and maxima are found without branches.
    constexpr std::size_t kBlock = 32;
    std::size_t begin = 0;
    for (; begin + kBlock <= values.size(); begin += kBlock)
      insert(largest_magnitude(values.subspan(begin).template first<kBlock>()), begin);
    if (begin < values.size()) insert(largest_magnitude(values.subspan(begin)), begin);
    std::array<Entry, kMost> blocks = {};
    std::swap(blocks, entries_);
    for (std::size_t b = 1; b < count_; ++b) {  // in the order of the elements
      for (std::size_t i = b; i > 0 && blocks[i - 1].index > blocks[i].index; --i)
        std::swap(blocks[i - 1], blocks[i]);
    }
    for (std::size_t b = 0; b < count_; ++b) {
      if (blocks[b].magnitude < 0) continue;
      const std::size_t end = std::min(blocks[b].index + kBlock, values.size());
      for (std::size_t i = blocks[b].index; i < end; ++i) insert(magnitude_bits(values[i]), i);
    }
  }

  /// The one of that rank, from 0; of magnitude -1 where there are not so many values.
  const Entry& operator[](std::size_t rank) const noexcept { return entries_[rank]; }

 private:
  void insert(Bits<T> magnitude, std::size_t index) noexcept {
    if (magnitude <= entries_[count_ - 1].magnitude) return;
    std::size_t rank = count_ - 1;
    for (; rank > 0 && entries_[rank - 1].magnitude < magnitude; --rank) entries_[rank] = entries_[rank - 1];
    entries_[rank] = {magnitude, index};
  }

  std::size_t count_;
  std::array<Entry, kMost> entries_ = {};
};

}  // namespace gradstab::lab::detail
