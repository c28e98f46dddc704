#include "lab/llm/llama_config.hpp"

#include <array>
#include <utility>

namespace gradstab::lab {
namespace {

struct Size {
  std::string_view name;
  std::int64_t hidden, intermediate, heads, layers, vocab_size;
};

constexpr std::array kSizes = {
    Size{"1m", 128, 352, 4, 5, 4096},        Size{"9m", 128, 352, 4, 4, 32000},
    Size{"20m", 256, 688, 4, 4, 32000},      Size{"35m", 384, 1024, 8, 6, 32000},
    Size{"40m", 416, 1024, 8, 8, 32000},     Size{"60m", 512, 1376, 8, 8, 32000},
    Size{"71m", 512, 1368, 8, 12, 32000},    Size{"100m", 640, 1708, 10, 12, 32100},
    Size{"130m", 768, 2048, 12, 12, 32000},  Size{"250m", 768, 2560, 16, 24, 32000},
    Size{"350m", 1024, 2736, 16, 24, 32000}, Size{"1b", 2048, 5461, 32, 24, 32000},
    Size{"3b", 2560, 6848, 32, 32, 32000},   Size{"7b", 4096, 11008, 32, 32, 32000},
};

}  // namespace

Status LlamaConfig::validate() const {
  const auto invalid = [&](const std::string& what) {
    return Status(StatusCode::invalid_argument, "LLaMA size '" + name + "': " + what);
  };
  const std::pair<const char*, std::int64_t> sizes[] = {{"hidden", hidden},
                                                        {"intermediate", intermediate},
                                                        {"heads", heads},
                                                        {"layers", layers},
                                                        {"vocab_size", vocab_size}};
  for (const auto& [field, value] : sizes)
    if (value < 1)
      return invalid(std::string(field) + " is " + std::to_string(value) + ", must be at least 1");
  if (hidden % heads != 0 || head_dim() % 2 != 0)
    return invalid("hidden " + std::to_string(hidden) + " over " + std::to_string(heads) +
                   " heads must give an even whole number of features per head");
  const std::pair<const char*, double> positives[] = {
      {"norm_epsilon", norm_epsilon}, {"rotary_base", rotary_base}, {"init_std", init_std}};
  for (const auto& [field, value] : positives)
    if (!(value > 0))
      return invalid(std::string(field) + " is " + std::to_string(value) + ", must be positive");
  return {};
}

Result<LlamaConfig> llama_config(std::string_view name) {
  std::string known;
  for (const Size& size : kSizes) {
    if (size.name == name)
      return LlamaConfig{.name = std::string(name),
                         .hidden = size.hidden,
                         .intermediate = size.intermediate,
                         .heads = size.heads,
                         .layers = size.layers,
                         .vocab_size = size.vocab_size};
    known += (known.empty() ? "" : ", ") + std::string(size.name);
  }
  return Status(StatusCode::invalid_argument,
                "unknown LLaMA size '" + std::string(name) + "'; known sizes: " + known);
}

std::int64_t projection_parameter_count(const LlamaConfig& config) noexcept {
  return config.layers * (4 * config.hidden * config.hidden + 3 * config.hidden * config.intermediate);
}

std::int64_t non_embedding_parameter_count(const LlamaConfig& config) noexcept {
  return projection_parameter_count(config) + (2 * config.layers + 1) * config.hidden;
}

std::int64_t parameter_count(const LlamaConfig& config) noexcept {
  return 2 * config.vocab_size * config.hidden + non_embedding_parameter_count(config);
}

}  // namespace gradstab::lab
