// Workload: gradients in the shapes of a model, and a pristine copy to start every timed step from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradstab/tensor.hpp"
#include "machine.hpp"

namespace gradstab::bench {

/// The parameters of LLaMA with 768 features; at 12 layers and 32,000 tokens the 134.1 M of "LLaMA-130M".
ParameterSet llama_parameters(int layers, std::int64_t vocabulary);

/// The 161 trainable tensors of torchvision's ResNet-50.
ParameterSet resnet50_parameters();

/// `count` vectors of `size` elements.
ParameterSet equal_parameters(int count, std::int64_t size);

class Workload {
 public:
  Workload(ParameterSet parameters, DType dtype);

  const ParameterSet& parameters() const { return parameters_; }
  DType dtype() const { return dtype_; }
  std::size_t bytes() const { return bytes_; }
  std::int64_t elements() const { return elements_; }
  const std::vector<TensorRef>& gradients() const { return refs_; }
  const std::vector<Memory>& pieces() const { return pieces_; }

  /// Puts the first gradients back, as a backward pass would write them.
  void restore();

  double value(std::size_t tensor, std::int64_t element) const;
  double pristine_value(std::size_t tensor, std::int64_t element) const;

 private:
  ParameterSet parameters_;
  DType dtype_;
  std::size_t bytes_ = 0;
  std::int64_t elements_ = 0;
  std::vector<std::uint64_t> storage_;
  std::vector<std::uint64_t> pristine_;
  std::vector<std::size_t> offsets_;  // in bytes, of each tensor
  std::vector<TensorRef> refs_;
  std::vector<Memory> pieces_;
};

}  // namespace gradstab::bench
