#include "lab/vision/classifier.hpp"

#include "lab/vision/convnext.hpp"
#include "lab/vision/resnet.hpp"
#include "lab/vision/vit.hpp"

namespace gradstab::lab::vision {
namespace {

std::shared_ptr<Classifier> made(const VitConfig& config, std::uint64_t seed) {
  return std::make_shared<Vit>(config, seed);
}
std::shared_ptr<Classifier> made(const ConvNextConfig& config, std::uint64_t seed) {
  return std::make_shared<ConvNext>(config, seed);
}
std::shared_ptr<Classifier> made(const ResNetConfig& config, std::uint64_t seed) {
  return std::make_shared<ResNet>(config, seed);
}

}  // namespace

std::shared_ptr<Classifier> make_classifier(const ModelConfig& config, std::uint64_t seed) {
  validate(config).check();
  return std::visit([&](const auto& one) { return made(one, seed); }, config);
}

bool is_of_norm(std::string_view parameter) noexcept {
  const std::size_t dot = parameter.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view path = parameter.substr(0, dot);
  const std::string_view module = path.substr(path.rfind('.') + 1);
  return module == "norm" || module.ends_with("_norm");
}

std::vector<std::string> parameters_without_decay(const Classifier& model, std::string_view decayed) {
  std::vector<std::string> names;
  for (const auto& parameter : model.named_parameters()) {
    const bool is_matrix = parameter.value().dim() > 1 && parameter.key() != "positions";
    if ((decayed == "not_norms" && is_of_norm(parameter.key())) || (decayed == "matrices" && !is_matrix))
      names.push_back(parameter.key());
  }
  return names;
}

}  // namespace gradstab::lab::vision
