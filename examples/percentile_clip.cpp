// The method of percentile_clip.hpp in front of the library's fused AdamW, and saved with it.
#include "percentile_clip.hpp"

#include <cmath>
#include <gradstab/optimizer.hpp>
#include <iostream>

int main() {
  std::vector<float> weights(4, 1.0f);
  std::vector<float> gradients(4);
  const std::vector<std::int64_t> sizes = {4};
  const auto parameters = gradstab::ParameterSet::create({{"weights", sizes}}).value();
  const auto adamw = [] {
    return gradstab::Optimizer(gradstab::AdamOptions::adamw(),
                               gradstab::chain(percentile_clip(50.0), gradstab::record_norms()));
  };
  gradstab::Optimizer optimizer = adamw();
  optimizer.init(parameters).check();
  gradstab::TensorRef weight, gradient;
  weight.data = weights.data();
  gradient.data = gradients.data();
  weight.sizes = gradient.sizes = sizes;
  for (int step = 1; step <= 6; ++step) {
    const float size = step == 5 ? 1000.0f : static_cast<float>(step);
    for (std::size_t i = 0; i < gradients.size(); ++i) gradients[i] = size * weights[i] / 2.0f;
    const gradstab::StepReport report = optimizer.step({&weight, 1}, {&gradient, 1}).value();
    std::cout << "step " << report.step << "  norm " << report.raw_global_norm << " -> " << report.global_norm
              << '\n';
    if (step != 3) continue;
    const std::vector<std::byte> checkpoint = optimizer.save().value();
    optimizer = adamw();
    optimizer.init(parameters).check();
    optimizer.load(checkpoint).check();
  }
}
