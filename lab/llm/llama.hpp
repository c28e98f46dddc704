// The LLaMA decoder for language-model pre-training.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "lab/llm/llama_config.hpp"
#include "lab/llm/llama_functions.hpp"
#include "lab/quantize/projection_hooks.hpp"

namespace gradstab::lab {

/// A decoder-only transformer after Touvron et al. 2023 (arXiv:2302.13971) in the form of the GaLore /
/// Stable-SPAM pre-training code: pre-norm blocks x += attention(norm(x)), x += mlp(norm(x)), a final norm
/// and an untied head; no bias, no dropout. Unlike that code, no row of the embedding is zeroed.
///
/// Parameters carry the usual names: "model.embed_tokens.weight" [V, h], then for every layer n
/// "model.layers.n.self_attn.{q,k,v,o}_proj.weight" [h, h], "model.layers.n.mlp.{gate,up}_proj.weight" [i,
/// h], "model.layers.n.mlp.down_proj.weight" [h, i], "model.layers.n.{input,post_attention}_layernorm.weight"
/// [h], and "model.norm.weight" [h], "lm_head.weight" [V, h]. Dimensions that cannot be built throw
/// gradstab::Error.
class LlamaImpl : public torch::nn::Module {
 public:
  /// Draws all matrices from N(0, init_std) in the order of the names above with `generator` (a CPU
  /// generator, in float): the same numbers for any number of threads, and after `to(...)` on any device.
  /// Gains are 1.
  LlamaImpl(const LlamaConfig& config, torch::Generator generator);
  /// The same with a fresh generator of this seed.
  LlamaImpl(const LlamaConfig& config, std::uint64_t seed);

  /// The mean cross-entropy, in nats, of predicting tokens[:, t+1] from tokens[:, 0..t]: a scalar.
  /// tokens int64 [B, T+1]. Positions to predict that are negative are left out of the mean (and read as
  /// token 0 where they are inputs, which matters only for later positions of their row).
  torch::Tensor loss(const torch::Tensor& tokens);

  /// Logits [B, T, V] of the token after each of tokens int64 [B, T].
  torch::Tensor logits(const torch::Tensor& tokens);

  /// Sets or, with {}, removes the hooks of low-bit training.
  void set_projection_hooks(ProjectionHooks hooks) { hooks_ = std::move(hooks); }

  /// How the projections, attention, the MLP's activation and the head compute from now on; embedding, norms,
  /// residual stream, softmax and loss stay in f32. For f32 parameters.
  void set_precision(Precision precision) { precision_ = precision; }

  const LlamaConfig& config() const noexcept { return config_; }

 private:
  struct Block {
    torch::Tensor input_gain, q, k, v, o, post_attention_gain, gate, up, down;
  };

  /// The final norm's output [B*T, h] for tokens int64 [B, T].
  torch::Tensor hidden_states(const torch::Tensor& tokens);
  /// input [rows, in] times the weights, stacked to [sum of out, in], transposed.
  torch::Tensor project(const torch::Tensor& input, const std::vector<torch::Tensor>& weights) const;
  const RotaryTable& rotary_for(std::int64_t length);

  LlamaConfig config_;
  torch::Tensor embedding_, final_gain_, head_;
  std::vector<Block> blocks_;
  ProjectionHooks hooks_;
  Precision precision_ = Precision::fp32;
  RotaryTable rotary_;
};
TORCH_MODULE(Llama);

}  // namespace gradstab::lab
