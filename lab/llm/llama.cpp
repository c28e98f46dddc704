#include "lab/llm/llama.hpp"

#include <memory>
#include <string>
#include <utility>

namespace gradstab::lab {
namespace {

using torch::Tensor;
using torch::nn::Module;

/// The module that turns "q_proj" into "q_proj.weight". torch::nn::Linear would do, but it first draws an
/// initialisation of its own from the global generator.
struct Weight : Module {
  explicit Weight(Tensor values) { register_parameter("weight", std::move(values)); }
};

LlamaConfig checked(const LlamaConfig& config) {
  config.validate().check();
  return config;
}

torch::Generator seeded_generator(std::uint64_t seed) {
  return torch::make_generator<torch::CPUGeneratorImpl>(seed);
}

}  // namespace

LlamaImpl::LlamaImpl(const LlamaConfig& config, std::uint64_t seed)
    : LlamaImpl(config, seeded_generator(seed)) {}

LlamaImpl::LlamaImpl(const LlamaConfig& config, torch::Generator generator) : config_(checked(config)) {
  const torch::NoGradGuard no_grad;
  // Tensor handles kept beside the modules stay valid: Module::to and optimizers replace or change the data
  // behind them, never the handle.
  const auto add = [](Module& parent, const std::string& name, const Tensor& values) {
    return parent.register_module(name, std::make_shared<Weight>(values))->named_parameters()["weight"];
  };
  const auto matrix = [&](Module& parent, const std::string& name, std::int64_t rows, std::int64_t columns) {
    return add(parent, name,
               torch::empty({rows, columns}, torch::kFloat).normal_(0, config_.init_std, generator));
  };
  const auto gain = [&](Module& parent, const std::string& name) {
    return add(parent, name, torch::ones({config_.hidden}, torch::kFloat));
  };
  const auto group = [](Module& parent, const std::string& name) {
    return parent.register_module(name, std::make_shared<Module>());
  };

  const std::int64_t h = config_.hidden;
  const std::int64_t i = config_.intermediate;
  const auto model = group(*this, "model");
  embedding_ = matrix(*model, "embed_tokens", config_.vocab_size, h);
  const auto layers = group(*model, "layers");
  for (std::int64_t index = 0; index < config_.layers; ++index) {
    const auto layer = group(*layers, std::to_string(index));
    const auto attention = group(*layer, "self_attn");
    const auto mlp = group(*layer, "mlp");
    Block block;
    block.q = matrix(*attention, "q_proj", h, h);
    block.k = matrix(*attention, "k_proj", h, h);
    block.v = matrix(*attention, "v_proj", h, h);
    block.o = matrix(*attention, "o_proj", h, h);
    block.gate = matrix(*mlp, "gate_proj", i, h);
    block.up = matrix(*mlp, "up_proj", i, h);
    block.down = matrix(*mlp, "down_proj", h, i);
    block.input_gain = gain(*layer, "input_layernorm");
    block.post_attention_gain = gain(*layer, "post_attention_layernorm");
    blocks_.push_back(std::move(block));
  }
  final_gain_ = gain(*model, "norm");
  head_ = matrix(*this, "lm_head", config_.vocab_size, h);
}

Tensor LlamaImpl::project(const Tensor& input, const std::vector<Tensor>& weights) const {
  std::vector<Tensor> used = weights;
  if (hooks_.weight)
    for (Tensor& weight : used) weight = hooks_.weight(weight);
  return stacked_linear(hooks_.input ? hooks_.input(input) : input, used, precision_);
}

const RotaryTable& LlamaImpl::rotary_for(std::int64_t length) {
  const auto options = embedding_.options().requires_grad(false);
  const Tensor& current = rotary_.cosine;
  if (!current.defined() || current.size(0) != length || current.scalar_type() != embedding_.scalar_type() ||
      current.device() != embedding_.device())
    rotary_ = rotary_table(length, config_.head_dim(), config_.rotary_base, options);
  return rotary_;
}

Tensor LlamaImpl::hidden_states(const Tensor& tokens) {
  TORCH_CHECK(tokens.dim() == 2 && tokens.size(0) > 0 && tokens.size(1) > 0,
              "tokens must have the shape [batch, length], not ", tokens.sizes());
  const RotaryTable& rotary = rotary_for(tokens.size(1));
  Tensor x = torch::embedding(embedding_, tokens.reshape({-1}));
  for (const Block& block : blocks_) {
    const Tensor attention_input = rms_norm(x, block.input_gain, config_.norm_epsilon);
    const Tensor qkv = project(attention_input, {block.q, block.k, block.v});
    x = x + project(causal_attention(qkv, rotary, config_.heads, precision_), {block.o});
    const Tensor mlp_input = rms_norm(x, block.post_attention_gain, config_.norm_epsilon);
    x = x + project(swiglu(project(mlp_input, {block.gate, block.up}), precision_), {block.down});
  }
  return rms_norm(x, final_gain_, config_.norm_epsilon);
}

Tensor LlamaImpl::loss(const Tensor& tokens) {
  TORCH_CHECK(tokens.dim() == 2 && tokens.size(1) > 1, "tokens must have the shape [batch, length + 1], not ",
              tokens.sizes());
  const std::int64_t length = tokens.size(1) - 1;
  const Tensor targets = tokens.narrow(1, 1, length).reshape({-1});
  return linear_cross_entropy(hidden_states(tokens.narrow(1, 0, length).clamp_min(0)), head_, targets,
                              precision_);
}

Tensor LlamaImpl::logits(const Tensor& tokens) {
  return stacked_linear(hidden_states(tokens), {head_}, precision_)
      .view({tokens.size(0), tokens.size(1), config_.vocab_size});
}

}  // namespace gradstab::lab
