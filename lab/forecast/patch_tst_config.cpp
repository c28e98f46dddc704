#include "lab/forecast/patch_tst_config.hpp"

#include <fmt/format.h>

#include <utility>

namespace gradstab::lab::forecast {

std::int64_t PatchTstConfig::parameter_count() const noexcept {
  const auto linear = [](std::int64_t in, std::int64_t out) { return in * out + out; };
  const std::int64_t norm = 2 * width;
  const std::int64_t layer =
      4 * linear(width, width) + linear(width, hidden) + linear(hidden, width) + 2 * norm;
  return linear(patch_length, width) + patches() * width + layers * layer +
         linear(patches() * width, horizon) + (revin_affine ? 2 * channels : 0);
}

Status PatchTstConfig::validate() const {
  const auto refuse = [](std::string_view name, auto value, std::string_view expected) {
    return Status(StatusCode::invalid_argument, fmt::format("{} must be {}, got {}", name, expected, value));
  };
  for (const auto& [name, value] : {std::pair{"look_back", look_back},
                                    {"horizon", horizon},
                                    {"patch_length", patch_length},
                                    {"patch_stride", patch_stride},
                                    {"layers", layers},
                                    {"heads", heads},
                                    {"width", width},
                                    {"hidden", hidden}})
    if (value < 1) return refuse(name, value, "at least 1");
  if (patch_length > look_back)
    return refuse("patch_length", patch_length, fmt::format("at most look_back = {}", look_back));
  if (width % heads != 0) return refuse("width", width, fmt::format("a multiple of heads = {}", heads));
  if (!(dropout >= 0 && dropout < 1)) return refuse("dropout", dropout, "in [0, 1)");
  if (revin_affine && channels < 1) return refuse("channels", channels, "at least 1 with revin_affine");
  return {};
}

}  // namespace gradstab::lab::forecast
