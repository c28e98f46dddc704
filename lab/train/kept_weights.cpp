#include "lab/train/kept_weights.hpp"

namespace gradstab::lab {

KeptWeights::KeptWeights(const torch::nn::Module& model, std::string_view prefix) : prefix_(prefix) {
  const auto add = [&](const std::string& name, const torch::Tensor& tensor, bool is_parameter) {
    pairs_.push_back({name, tensor, tensor.detach().clone(), is_parameter});
  };
  for (const auto& item : model.named_parameters()) add(item.key(), item.value(), true);
  for (const auto& item : model.named_buffers()) add(item.key(), item.value(), false);
}

void KeptWeights::take() {
  const torch::NoGradGuard no_grad;
  for (Pair& pair : pairs_) pair.kept.copy_(pair.model);
}

void KeptWeights::average(double decay) {
  const torch::NoGradGuard no_grad;
  for (Pair& pair : pairs_) {
    if (pair.is_parameter)
      pair.kept.lerp_(pair.model.detach(), 1.0 - decay);
    else
      pair.kept.copy_(pair.model);
  }
}

void KeptWeights::put() const {
  const torch::NoGradGuard no_grad;
  for (const Pair& pair : pairs_) torch::Tensor(pair.model).copy_(pair.kept);
}

void KeptWeights::exchange() {
  const torch::NoGradGuard no_grad;
  for (Pair& pair : pairs_) {
    const torch::Tensor mine = pair.kept.clone();
    pair.kept.copy_(pair.model);
    pair.model.copy_(mine);
  }
}

Status KeptWeights::save(CheckpointFiller& filler) const {
  for (const Pair& pair : pairs_) GRADSTAB_RETURN_IF_ERROR(filler.add(prefix_ + pair.name, pair.kept));
  return {};
}

Status KeptWeights::expect(CheckpointLoader& loader) const {
  for (const Pair& pair : pairs_) GRADSTAB_RETURN_IF_ERROR(loader.expect(prefix_ + pair.name, pair.kept));
  return loader.expect_nothing_else(prefix_);
}

}  // namespace gradstab::lab
