// Stabilizing an engine that keeps all gradients in one flat buffer: the parameters are slices of it,
// registered once, and each step is one call.
#include <cstddef>
#include <cstdint>
#include <gradstab/gradstab.hpp>
#include <iostream>
#include <utility>
#include <vector>

/// The hook. An engine keeps one beside its optimizer and calls it between backward pass and update.
class FlatBufferStabilizer {
 public:
  /// `gradients` holds the gradients of `slices` one behind another, and stays where it is. Throws
  /// gradstab::Error where a name is empty or there twice.
  FlatBufferStabilizer(std::vector<gradstab::Parameter> slices, float* gradients) {
    transform_.init(gradstab::ParameterSet::create(std::move(slices)).value()).check();
    for (const gradstab::Parameter& slice : transform_.parameters()) {
      gradstab::TensorRef tensor;
      tensor.data = gradients;
      tensor.sizes = slice.sizes;  // the transform's own copy, which lives as long as it does
      tensors_.push_back(tensor);
      gradients += gradstab::element_count(slice.sizes);
    }
  }

  /// Changes the gradients in place; allocates nothing. The report says what was seen and done.
  gradstab::StepReport stabilize() { return transform_.update(tensors_).value(); }

 private:
  gradstab::GradientTransform transform_ = gradstab::stabilize();
  std::vector<gradstab::TensorRef> tensors_;
};

/// A toy engine: y = W x + b with W of shape [2, 3], trained by SGD on single samples.
struct Engine {
  static constexpr std::size_t kOutputs = 2, kInputs = 3;
  std::vector<gradstab::Parameter> slices = {{"weight", {kOutputs, kInputs}}, {"bias", {kOutputs}}};
  std::vector<float> parameters = std::vector<float>(kOutputs * kInputs + kOutputs);
  std::vector<float> gradients = std::vector<float>(kOutputs * kInputs + kOutputs);

  /// Loss of this step's sample, and its gradients. In the sample of step 200 a fault has multiplied all by
  /// 100.
  float backward(int step) {
    const float size = step == 200 ? 100.0f : 1.0f;
    const float x[kInputs] = {size * float(step % 3 - 1), size * float(step % 5 - 2),
                              size * float(step % 7 - 3)};
    const float target[kOutputs] = {x[0] - x[1] + size, 0.5f * x[2]};
    float loss = 0.0f;
    for (std::size_t o = 0; o < kOutputs; ++o) {
      const float* weights = &parameters[o * kInputs];
      float error = parameters[kOutputs * kInputs + o] - target[o];
      for (std::size_t i = 0; i < kInputs; ++i) error += weights[i] * x[i];
      for (std::size_t i = 0; i < kInputs; ++i) gradients[o * kInputs + i] = error * x[i];
      gradients[kOutputs * kInputs + o] = error;
      loss += 0.5f * error * error;
    }
    return loss;
  }

  void update(float learning_rate) {
    for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i] -= learning_rate * gradients[i];
  }
};

int main() {
  for (const bool stabilized : {false, true}) {
    Engine engine;
    FlatBufferStabilizer stabilizer(engine.slices, engine.gradients.data());
    std::cout << (stabilized ? "stabilized:" : "as it comes:");
    for (int step = 1; step <= 202; ++step) {
      const float loss = engine.backward(step);
      if (stabilized) {
        const gradstab::StepReport report = stabilizer.stabilize();
        if (report.spikes > 0)
          std::cout << "  (norm " << report.raw_global_norm << " -> " << report.global_norm << ')';
      }
      engine.update(0.03f);
      if (step >= 199 && step != 200) std::cout << "  loss " << loss << " in step " << step;
    }
    std::cout << '\n';
  }
}
