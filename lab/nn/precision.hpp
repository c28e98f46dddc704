// In which number format a model computes. Without torch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gradstab::lab {

/// Weights, gradients of weights and optimizer state are f32 in all of them; see docs/llm.md for what is
/// rounded where.
enum class Precision : std::uint8_t {
  fp32,  ///< nothing is rounded
  bf16,  ///< matrix products, attention and the MLP's activation in bfloat16
  fp16,  ///< the same in IEEE binary16, whose range needs loss scaling
  fp4,   ///< weights and inputs of the projections rounded to FP4; quantization-aware training
  int4,  ///< the same to INT4
};

/// By the value of the enumerator.
inline constexpr std::array<std::string_view, 5> kPrecisionNames = {"fp32", "bf16", "fp16", "fp4", "int4"};

constexpr std::string_view to_string(Precision precision) noexcept {
  return kPrecisionNames[static_cast<std::size_t>(precision)];
}

constexpr std::optional<Precision> precision_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < kPrecisionNames.size(); ++i)
    if (kPrecisionNames[i] == name) return static_cast<Precision>(i);
  return {};
}

/// Whether activations are rounded to 16 bits.
constexpr bool has_16_bit_activations(Precision precision) noexcept {
  return precision == Precision::bf16 || precision == Precision::fp16;
}

/// Whether the operands of the projections are rounded to four bits.
constexpr bool quantizes_projections(Precision precision) noexcept {
  return precision == Precision::fp4 || precision == Precision::int4;
}

/// Whether gradients of activations leave the format's range unless the loss is scaled.
constexpr bool needs_loss_scaling(Precision precision) noexcept {
  return precision == Precision::fp16;
}

}  // namespace gradstab::lab
