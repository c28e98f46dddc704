#include "lab/vision/mix.hpp"

#include <algorithm>
#include <cmath>

namespace gradstab::lab::vision {
namespace {

/// The logarithm of a number of the distribution Gamma(shape, 1), by Marsaglia and Tsang 2000. Logarithms,
/// since a small shape gives numbers below the smallest double.
double log_gamma_variate(Draws& draws, double shape) {
  // A shape below 1 is one above it and a power of a uniform number.
  const double raised = shape + 1;
  const double d = raised - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double normal = draws.normal();
    const double v = std::pow(1 + c * normal, 3);
    if (v <= 0) continue;
    if (std::log(draws.uniform()) < 0.5 * normal * normal + d * (1 - v + std::log(v)))
      return std::log(d * v) + std::log(draws.uniform()) / shape;
  }
}

/// a * weight + b * (1 - weight), in f32, as torch computes it.
void blend(float* a, const float* b, std::size_t count, double weight) {
  const auto own = static_cast<float>(weight), other = static_cast<float>(1 - weight);
  for (std::size_t i = 0; i < count; ++i) a[i] = a[i] * own + b[i] * other;
}

void paste(float* to, const float* from, int channels, Size size, const Rectangle& box) {
  for (int c = 0; c < channels; ++c)
    for (int y = box.top; y < box.top + box.height; ++y) {
      const std::ptrdiff_t at = (static_cast<std::ptrdiff_t>(c) * size.height + y) * size.width + box.left;
      std::copy_n(from + at, box.width, to + at);
    }
}

}  // namespace

double draw_beta(Draws& draws, double alpha) noexcept {
  const double first = log_gamma_variate(draws, alpha), second = log_gamma_variate(draws, alpha);
  return 1 / (1 + std::exp(second - first));
}

Mix cutmix_around(int x, int y, double weight, Size size) noexcept {
  const double half = 0.5 * std::sqrt(1 - weight);
  const int half_width = static_cast<int>(half * size.width);
  const int half_height = static_cast<int>(half * size.height);
  const int left = std::max(x - half_width, 0), right = std::min(x + half_width, size.width);
  const int top = std::max(y - half_height, 0), bottom = std::min(y + half_height, size.height);
  const double share =
      static_cast<double>(right - left) * (bottom - top) / (static_cast<double>(size.width) * size.height);
  return {Mix::Kind::cutmix, 1 - share, {left, top, right - left, bottom - top}};
}

Mix draw_mix(Draws& draws, const AugmentationOptions& options, Size size) noexcept {
  const bool can_mixup = options.mixup_alpha > 0, can_cutmix = options.cutmix_alpha > 0;
  if (!can_mixup && !can_cutmix) return {};
  const bool is_cutmix = can_cutmix && (!can_mixup || draws.chance(0.5));
  const double weight = draw_beta(draws, is_cutmix ? options.cutmix_alpha : options.mixup_alpha);
  Mix how{Mix::Kind::mixup, weight, {}};
  if (is_cutmix) {
    const int x = draws.below(size.width), y = draws.below(size.height);
    how = cutmix_around(x, y, weight, size);
  }
  how.back = static_cast<std::size_t>(options.repeats);
  return how;
}

void mix(const Mix& how, Batch& batch, std::vector<float>& last) {
  batch.partner_labels.clear();
  batch.weight = 1;
  if (how.kind == Mix::Kind::none || batch.count == 0) return;
  batch.weight = how.weight;
  const auto count = static_cast<std::size_t>(batch.count);
  batch.partner_labels.reserve(count);
  const std::size_t back = how.back % count;
  for (std::size_t i = 0; i < count; ++i)
    batch.partner_labels.push_back(batch.labels[(i + count - back) % count]);
  const Size size{batch.width, batch.height};
  const std::size_t values = batch.pixels.size() / count;
  float* const pixels = batch.pixels.data();
  const auto mix_two = [&](float* picture, const float* partner) {
    if (how.kind == Mix::Kind::mixup)
      blend(picture, partner, values, how.weight);
    else
      paste(picture, partner, batch.channels, size, how.box);
  };
  // From the last to the first. The partners of the first are the last, as they were.
  last.assign(pixels + (count - back) * values, pixels + count * values);
  for (std::size_t i = count; i-- > back;) mix_two(pixels + i * values, pixels + (i - back) * values);
  for (std::size_t i = back; i-- > 0;) mix_two(pixels + i * values, last.data() + i * values);
}

}  // namespace gradstab::lab::vision
