// The recorder of norms as an object of TorchScript.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <string>
#include <vector>

#include "aten/plain_tensors.hpp"
#include "gradstab/norm_recorder.hpp"

namespace gradstab::python {

/// gradstab::NormRecorder over torch tensors. Throws what errors.hpp describes.
class Recorder final : public torch::CustomClassHolder {
 public:
  /// Of no tensors yet. Facts are `keys` with as many `values`.
  Recorder(std::string path, const std::vector<std::string>& keys, const std::vector<std::string>& values,
           std::int64_t every);

  /// From the next step on. Dtypes are those of the gradients, as a recording names them.
  void set_parameters(const std::vector<std::string>& names,
                      const std::vector<std::vector<std::int64_t>>& sizes,
                      const std::vector<std::string>& dtypes);
  void set_facts(const std::vector<std::string>& keys, const std::vector<std::string>& values);

  bool records(std::int64_t step) const { return recorder_.records_step(step); }
  std::int64_t next_step() const { return recorder_.next_step(); }
  /// Counts a step that is not recorded.
  void pass(std::int64_t step);

  /// Measures gradients in host memory and records their norms. All other tensors are absent. A loss is there
  /// where `has_loss`.
  void record(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
              std::int64_t step, bool has_loss, double loss);
  /// Records norms that were measured elsewhere: float64 [parameters] in host memory, -1 where there is none.
  void write(const at::Tensor& norms, std::int64_t step, bool has_loss, double loss);

  void close();

 private:
  NormRecorder recorder_;
  // Of the current step.
  std::vector<at::Tensor> gradients_;
  std::vector<TensorRef> references_;
  // Nothing is written back to them; but sparse ones are taken as they are.
  PlainTensors plain_{TensorUse::transformed_gradients};
};

}  // namespace gradstab::python
