// An image classifier: pictures in, logits out.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/nn/counter_random.hpp"
#include "lab/vision/model_configs.hpp"

namespace gradstab::lab::vision {

class Classifier : public torch::nn::Module {
 public:
  /// The logits [batch, classes] of `pictures` [batch, channels, height, width]. In training mode dropout and
  /// stochastic depth are drawn by `draw`, and BatchNorm uses and records the statistics of the batch; in
  /// evaluation mode `draw` has no effect. Throws c10::Error for pictures of another shape.
  virtual torch::Tensor forward(const torch::Tensor& pictures, const nn::Draw& draw = {}) = 0;
};

/// A ViT, a ConvNeXt or a ResNet with the initial weights of that seed. Sizes that cannot be built throw
/// gradstab::Error.
std::shared_ptr<Classifier> make_classifier(const ModelConfig& config, std::uint64_t seed);

/// Whether this is the gain or the bias of a norm: the module that has it is called "norm" or "..._norm".
bool is_of_norm(std::string_view parameter) noexcept;

/// Names of the parameters that weight decay leaves alone, of those that a setting knows: "all" (none of
/// them), "not_norms" (gains and biases of norms) or "matrices" (whatever is no matrix and no kernel of a
/// convolution: norms, biases, scales, the class token and the positions).
std::vector<std::string> parameters_without_decay(const Classifier& model, std::string_view decayed);

}  // namespace gradstab::lab::vision
