// All that fake_quantize gives, for tests.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/quantize/fake_quantize.hpp"

namespace gradstab::testing {

template <class T>
struct Quantized {
  std::vector<T> values, scales;
  std::vector<std::uint8_t> codes, zero_points;
};

/// Throws where fake_quantize refuses.
template <class T = float>
Quantized<T> quantize(const std::vector<T>& input, const lab::QuantizerOptions& options,
                      std::uint64_t draw = 0, const std::vector<T>& noise = {}) {
  const std::size_t groups = options.group_count(input.size());
  Quantized<T> result{std::vector<T>(input.size()), std::vector<T>(groups),
                      std::vector<std::uint8_t>(input.size()), std::vector<std::uint8_t>(groups)};
  lab::fake_quantize(input, result.values, options,
                     {.noise = noise,
                      .draw = draw,
                      .codes = result.codes,
                      .scales = result.scales,
                      .zero_points = result.zero_points})
      .check();
  return result;
}

}  // namespace gradstab::testing
