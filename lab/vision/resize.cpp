#include "lab/vision/resize.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab::vision {
namespace {

constexpr int kWeightBits = 22;
constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

/// Where the weights of a new pixel lie, in old ones.
struct Support {
  double centre, radius;
  int first, end;
};
Support support_of(int pixel, int source, int target) {
  const double scale = static_cast<double>(source) / target;
  const double radius = std::max(scale, 1.0);
  const double centre = (pixel + 0.5) * scale;
  return {centre, radius, std::max(static_cast<int>(centre - radius + 0.5), 0),
          std::min(static_cast<int>(centre + radius + 0.5), source)};
}

/// Of new pixels [begin, begin + count), with old ones counted from `offset`.
void weigh(int source, int target, int begin, int count, int offset, LineWeights& line) {
  line.most = 2 * static_cast<int>(std::ceil(std::max(static_cast<double>(source) / target, 1.0))) + 1;
  const auto size = static_cast<std::size_t>(count), most = static_cast<std::size_t>(line.most);
  line.first.resize(size);
  line.count.resize(size);
  line.weights.resize(size * most);
  for (std::size_t i = 0; i < size; ++i) {
    const Support support = support_of(begin + static_cast<int>(i), source, target);
    // In this order of operations, since the rounding of weights counts.
    const double shrink = 1 / support.radius;
    const auto weight = [&](int old) {
      return std::max(1 - std::abs((old - support.centre + 0.5) * shrink), 0.0);
    };
    double sum = 0;
    for (int old = support.first; old < support.end; ++old) sum += weight(old);
    for (int old = support.first; old < support.end; ++old)
      line.weights[i * most + static_cast<std::size_t>(old - support.first)] =
          static_cast<std::int32_t>(0.5 + weight(old) / sum * (1 << kWeightBits));
    line.first[i] = support.first - offset;
    line.count[i] = support.end - support.first;
  }
}

template <int kChannels>
void narrow_row(const std::uint8_t* row, const LineWeights& line, std::uint8_t* out) {
  const std::int32_t* weights = line.weights.data();
  for (std::size_t i = 0; i < line.first.size(); ++i, weights += line.most) {
    const std::uint8_t* pixel = row + line.first[i] * kChannels;
    std::int32_t sums[kChannels];
    std::fill_n(sums, kChannels, kHalf);
    for (int k = 0; k < line.count[i]; ++k, pixel += kChannels)
      for (int c = 0; c < kChannels; ++c) sums[c] += weights[k] * pixel[c];
    for (int c = 0; c < kChannels; ++c) *out++ = rounded(sums[c]);
  }
}

/// One new row out of `count` old ones that follow each other.
void flatten_rows(const Picture& picture, int first, int count, const std::int32_t* weights,
                  std::uint8_t* out) {
  constexpr std::size_t kAtOnce = 64;  // sums that stay in registers or the nearest cache
  const std::size_t bytes = picture.row_bytes();
  for (std::size_t begin = 0; begin < bytes; begin += kAtOnce) {
    const std::size_t width = std::min(kAtOnce, bytes - begin);
    std::int32_t sums[kAtOnce];
    std::fill_n(sums, kAtOnce, kHalf);
    for (int k = 0; k < count; ++k) {
      const std::uint8_t* const row = picture.row(first + k) + begin;
      for (std::size_t i = 0; i < width; ++i) sums[i] += weights[k] * row[i];
    }
    for (std::size_t i = 0; i < width; ++i) out[begin + i] = rounded(sums[i]);
  }
}

}  // namespace

Rectangle resize_support(Size source, Size target, const Rectangle& window) noexcept {
  const Support left = support_of(window.left, source.width, target.width);
  const Support right = support_of(window.left + window.width - 1, source.width, target.width);
  const Support top = support_of(window.top, source.height, target.height);
  const Support bottom = support_of(window.top + window.height - 1, source.height, target.height);
  return {left.first, top.first, right.end - left.first, bottom.end - top.first};
}

void resize(const Picture& pixels, const Rectangle& region, Size source, Size target, const Rectangle& window,
            ResizeBuffers& buffers, Picture& out) {
  weigh(source.width, target.width, window.left, window.width, region.left, buffers.columns);
  weigh(source.height, target.height, window.top, window.height, region.top, buffers.rows);
  Picture& narrow = buffers.narrow;
  narrow.reshape(window.width, pixels.height, pixels.channels);
  for (int y = 0; y < pixels.height; ++y) {
    if (pixels.channels == 1)
      narrow_row<1>(pixels.row(y), buffers.columns, narrow.row(y));
    else
      narrow_row<3>(pixels.row(y), buffers.columns, narrow.row(y));
  }
  out.reshape(window.width, window.height, pixels.channels);
  const LineWeights& rows = buffers.rows;
  for (int y = 0; y < window.height; ++y) {
    const auto i = static_cast<std::size_t>(y);
    flatten_rows(narrow, rows.first[i], rows.count[i],
                 rows.weights.data() + i * static_cast<std::size_t>(rows.most), out.row(y));
  }
}

}  // namespace gradstab::lab::vision
