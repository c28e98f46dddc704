#include "lab/vision/colour.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace gradstab::lab::vision {
namespace {

using Table = std::array<std::uint8_t, 256>;
using Histogram = std::array<std::int64_t, 256>;

/// From `other` through `value` by `factor`, cut to a whole number.
std::uint8_t blend(int other, int value, float factor) {
  const float blended = static_cast<float>(other) + factor * static_cast<float>(value - other);
  return static_cast<std::uint8_t>(std::clamp(blended, 0.0F, 255.0F));
}

/// The luma of a colour in units of 2^-16, rounded.
int grey(const std::uint8_t* pixel) {
  return (pixel[0] * 19595 + pixel[1] * 38470 + pixel[2] * 7471 + 0x8000) >> 16;
}
int grey(const Picture& picture, const std::uint8_t* pixel) {
  return picture.channels == 1 ? *pixel : grey(pixel);
}

/// Looks up every value of channel `c`.
void look_up(Picture& picture, const Table& table, int c) {
  for (std::size_t i = static_cast<std::size_t>(c); i < picture.pixels.size();
       i += static_cast<std::size_t>(picture.channels))
    picture.pixels[i] = table[picture.pixels[i]];
}
void look_up(Picture& picture, const Table& table) {
  for (std::uint8_t& value : picture.pixels) value = table[value];
}

Histogram histogram(const Picture& picture, int c) {
  Histogram counts{};
  for (std::size_t i = static_cast<std::size_t>(c); i < picture.pixels.size();
       i += static_cast<std::size_t>(picture.channels))
    ++counts[picture.pixels[i]];
  return counts;
}

template <class Function>
Table tabulate(const Function& function) {
  Table table{};
  for (int value = 0; value < 256; ++value) table[static_cast<std::size_t>(value)] = function(value);
  return table;
}

}  // namespace

void adjust_brightness(Picture& picture, float factor) {
  look_up(picture, tabulate([&](int value) { return blend(0, value, factor); }));
}

void adjust_saturation(Picture& picture, float factor) {
  if (picture.channels == 1) return;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3) {
    std::uint8_t* const pixel = &picture.pixels[i];
    const int luma = grey(pixel);
    for (int c = 0; c < 3; ++c) pixel[c] = blend(luma, pixel[c], factor);
  }
}

void adjust_contrast(Picture& picture, float factor) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < picture.pixels.size(); i += static_cast<std::size_t>(picture.channels))
    sum += grey(picture, &picture.pixels[i]);
  const double pixels = static_cast<double>(picture.width) * picture.height;
  const int mean = static_cast<int>(static_cast<double>(sum) / pixels + 0.5);
  look_up(picture, tabulate([&](int value) { return blend(mean, value, factor); }));
}

void adjust_sharpness(Picture& picture, float factor, Picture& scratch) {
  scratch = picture;
  const int channels = picture.channels;
  const auto step = static_cast<std::ptrdiff_t>(picture.row_bytes());
  for (int y = 1; y + 1 < picture.height; ++y) {
    const std::uint8_t* const old = scratch.row(y);
    std::uint8_t* const row = picture.row(y);
    for (int i = channels; i < channels * (picture.width - 1); ++i) {
      int sum = 4 * old[i];
      for (const std::ptrdiff_t line : {-step, std::ptrdiff_t{0}, step})
        sum += old[i + line - channels] + old[i + line] + old[i + line + channels];
      row[i] = blend((2 * sum + 13) / 26, old[i], factor);
    }
  }
}

void posterize(Picture& picture, int bits) {
  const int mask = 0xff & ~((1 << (8 - bits)) - 1);
  look_up(picture, tabulate([&](int value) { return static_cast<std::uint8_t>(value & mask); }));
}

void solarize(Picture& picture, double threshold) {
  look_up(picture, tabulate([&](int value) {
            return static_cast<std::uint8_t>(value < threshold ? value : 255 - value);
          }));
}

void auto_contrast(Picture& picture) {
  for (int c = 0; c < picture.channels; ++c) {
    const Histogram counts = histogram(picture, c);
    const auto used = [](std::int64_t count) { return count > 0; };
    const auto least = std::ranges::find_if(counts, used) - counts.begin();
    const auto most = counts.rend() - std::find_if(counts.rbegin(), counts.rend(), used) - 1;
    if (most <= least) continue;
    const double scale = 255.0 / static_cast<double>(most - least);
    const double offset = -static_cast<double>(least) * scale;
    look_up(picture, tabulate([&](int value) {
              return static_cast<std::uint8_t>(std::clamp(static_cast<int>(value * scale + offset), 0, 255));
            }),
            c);
  }
}

void equalize(Picture& picture) {
  for (int c = 0; c < picture.channels; ++c) {
    const Histogram counts = histogram(picture, c);
    std::int64_t all = 0, last = 0;
    int different = 0;
    for (const std::int64_t count : counts) {
      all += count;
      if (count == 0) continue;
      last = count;
      ++different;
    }
    const std::int64_t step = (all - last) / 255;
    if (different < 2 || step == 0) continue;
    std::int64_t below = step / 2;
    look_up(picture, tabulate([&](int value) {
              const std::int64_t level = std::min<std::int64_t>(below / step, 255);
              below += counts[static_cast<std::size_t>(value)];
              return static_cast<std::uint8_t>(level);
            }),
            c);
  }
}

}  // namespace gradstab::lab::vision
