#include "lab/vision/normalize.hpp"

#include <utility>

namespace gradstab::lab::vision {

Normalizer::Normalizer(std::vector<float> mean, std::vector<float> deviation)
    : mean_(std::move(mean)), deviation_(std::move(deviation)), tables_(mean_.size()) {
  for (std::size_t c = 0; c < tables_.size(); ++c)
    for (int value = 0; value < 256; ++value)
      tables_[c][static_cast<std::size_t>(value)] =
          (static_cast<float>(value) / 255.0F - mean_[c]) / deviation_[c];
}

void Normalizer::apply(const Picture& picture, float* out) const noexcept {
  const std::size_t channels = tables_.size();
  const std::size_t plane = picture.pixels.size() / channels;
  const std::uint8_t* const pixels = picture.pixels.data();
  if (channels == 1) {
    for (std::size_t i = 0; i < plane; ++i) out[i] = tables_[0][pixels[i]];
    return;
  }
  for (std::size_t c = 0; c < channels; ++c) {
    const std::array<float, 256>& table = tables_[c];
    for (std::size_t i = 0; i < plane; ++i) out[c * plane + i] = table[pixels[i * 3 + c]];
  }
}

}  // namespace gradstab::lab::vision
