// Writes a classifier's weights, pictures and logits, in double, for torchvision_test.py to compute again.
//   gradstab_vision_dump MODEL PIXELS FOLDER
// Into FOLDER go the values, as doubles, and an index of the tensors in JSON: name, sizes, and where each
// begins.
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "lab/vision/classifier.hpp"
#include "lab/vision/initial_weights.hpp"

int main(int argc, char** argv) {
  using namespace gradstab::lab::vision;
  if (argc != 4 || find_model(argv[1]) == nullptr) {
    std::cerr << "dump_logits: expected MODEL PIXELS FOLDER\n";
    return 2;
  }
  const std::int64_t side = std::stoll(argv[2]);
  const std::string folder = argv[3];
  ModelConfig config = find_model(argv[1])->config();
  if (auto* const vit = std::get_if<VitConfig>(&config)) vit->picture = side;
  if (auto* const convnext = std::get_if<ConvNextConfig>(&config)) convnext->layer_scale = 0.5;

  const torch::NoGradGuard no_grad;
  const auto model = make_classifier(config, 1);
  // What begins at 0 or 1 would hide mistakes.
  InitialWeights changes(2);
  const auto change = [&](torch::Tensor tensor) { tensor.add_(changes.normal(tensor.sizes(), 0.02)); };
  for (const auto& parameter : model->named_parameters()) change(parameter.value());
  for (const auto& buffer : model->named_buffers())
    if (buffer.value().is_floating_point()) change(buffer.value());
  model->to(torch::kDouble);
  model->eval();
  const torch::Tensor pictures = InitialWeights(3).normal({2, 3, side, side}, 1.0).to(torch::kDouble);

  std::ofstream values(folder + "/values.bin", std::ios::binary);
  nlohmann::json index = nlohmann::json::object();
  std::int64_t begin = 0;
  const auto write = [&](const std::string& name, const torch::Tensor& any) {
    const torch::Tensor tensor = any.to(torch::kDouble).contiguous();
    values.write(static_cast<const char*>(tensor.data_ptr()), static_cast<std::streamsize>(tensor.nbytes()));
    index[name] = {{"sizes", tensor.sizes().vec()}, {"begin", begin}};
    begin += tensor.numel();
  };
  for (const auto& parameter : model->named_parameters()) write(parameter.key(), parameter.value());
  for (const auto& buffer : model->named_buffers()) write(buffer.key(), buffer.value());
  write("pictures", pictures);
  write("logits", model->forward(pictures));
  std::ofstream(folder + "/index.json") << index;
  return values.good() ? 0 : 1;
}
