// Sizes of the LLaMA models by name, and how many parameters each has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The dimensions of a LLaMA decoder: multi-head attention without grouped keys, SwiGLU, untied embedding and
/// head. Source of the sizes: the GaLore / Stable-SPAM pre-training code.
struct LlamaConfig {
  std::string name;               ///< "60m", or anything for a size of one's own
  std::int64_t hidden = 0;        ///< width of the residual stream
  std::int64_t intermediate = 0;  ///< width inside the MLP
  std::int64_t heads = 0;         ///< attention heads; divides `hidden` into an even head dimension
  std::int64_t layers = 0;        ///< decoder blocks
  std::int64_t vocab_size = 0;    ///< rows of the embedding and of the head; override it to fit the tokenizer
  double norm_epsilon = 1e-6;     ///< added to the mean square inside RMSNorm's root
  double rotary_base = 10000.0;   ///< base of the rotary frequencies
  double init_std = 0.02;         ///< standard deviation of every linear and embedding weight

  /// Features per attention head.
  std::int64_t head_dim() const noexcept { return heads > 0 ? hidden / heads : 0; }

  /// invalid_argument, naming the field and its value, unless a model of these dimensions can be built.
  Status validate() const;
};

/// The named size: "9m" to "7b" of the recipe, or "1m", a size of our own for two CPU cores (one million
/// parameters beside the embeddings, vocabulary 4096). Unknown names give invalid_argument with the list of
/// the known ones.
Result<LlamaConfig> llama_config(std::string_view name);

/// Every trainable scalar: 2*V*h + L*(4h^2 + 3hi + 2h) + h.
std::int64_t parameter_count(const LlamaConfig& config) noexcept;

/// Without the embedding and the head: L*(4h^2 + 3hi + 2h) + h.
std::int64_t non_embedding_parameter_count(const LlamaConfig& config) noexcept;

/// The seven projections of every block alone, which are what low-bit training quantizes: L*(4h^2 + 3hi).
std::int64_t projection_parameter_count(const LlamaConfig& config) noexcept;

}  // namespace gradstab::lab
