// The custom class that holds a fused optimizer for Python: torch.classes.gradient_stabilizer.Optimizer.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "aten/tensor_optimizer.hpp"
#include "errors.hpp"
#include "report.hpp"
#include "settings.hpp"
#include "tensors.hpp"

namespace gradstab::python {

/// A fused optimizer with its transform, bound to parameters. All members throw what errors.hpp describes.
class FusedOptimizer final : public torch::CustomClassHolder {
 public:
  /// A description without methods: no transform.
  FusedOptimizer(std::string kind, const Description& description, const std::string& nonfinite,
                 const std::string& backend, const std::string& low_precision, std::int64_t seed);

  /// Registers parameters under names; `group_of` has the group of each, `numbers` and `words` the settings
  /// of each group. State of the names that stay is kept; of those whose index is in `fresh` it is not.
  /// `in_parts`: they are this process's parts, and steps are made by `measure_parts` and `finish_parts`.
  void bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
            const std::vector<std::int64_t>& group_of, const c10::List<Numbers>& numbers,
            const c10::List<Words>& words, const std::vector<std::int64_t>& fresh, bool in_parts);

  /// The settings of one group from now on.
  void set_group(std::int64_t group, const Numbers& numbers, const Words& words);

  /// One step of all parameters that have a gradient. False: nothing was done (policy `skip_step`).
  bool step();

  /// The squared norms of gradients of parts, those of the registered parameters at `positions`, float64 and
  /// one for every parameter, where the step is made. The caller sums them over the processes in place, -1
  /// where none has a gradient, and calls `finish_parts`.
  at::Tensor measure_parts(const std::vector<std::int64_t>& positions,
                           const std::vector<at::Tensor>& parameters,
                           const std::vector<at::Tensor>& gradients);
  /// Updates the parts that were measured. False: nothing was done (policy `skip_step`).
  bool finish_parts();

  /// One step of one parameter, whose gradient may be freed afterwards. False: it has none.
  bool step_one(std::int64_t index);
  /// What the last `step_one` of a parameter saw: raw norm, norm, factor, present, finite, spike, zeroed.
  std::vector<double> report_of_one(std::int64_t index);
  void check_can_step_one();
  /// Measures one gradient ahead of `step`, which measures it again if it was written to in between.
  void measure_one(std::int64_t index);

  // These wait where the step was made on a device.
  ReportTensors report();
  at::Tensor norms();
  std::string name() const { return optimizer_.name(); }
  std::string backend() const { return optimizer_.backend_name(); }

  at::Tensor save();
  /// `names`: see gradstab::Optimizer::load.
  void load(const at::Tensor& bytes, const std::vector<std::string>& names);

  /// Of a parameter the step count, the element-wise state in its own shape, the float32 copy where there is
  /// one (a list of one, or none), and the steps of the optimizer: see gradstab::Optimizer::ParameterState.
  std::tuple<std::int64_t, std::vector<at::Tensor>, std::vector<at::Tensor>, std::int64_t> parameter_state(
      std::int64_t index);
  void set_parameter_state(std::int64_t index, std::int64_t step, const std::vector<at::Tensor>& values,
                           const std::vector<at::Tensor>& copy, std::int64_t steps);
  /// Its step alone.
  std::int64_t step_of(std::int64_t index) { return value(optimizer_.step_of(checked(index))); }
  /// The parameters that have been stepped.
  std::vector<std::int64_t> stepped();

  /// As of Transform.
  Statistics statistics(const std::vector<std::int64_t>& positions);
  void set_statistics(const std::vector<std::vector<std::string>>& names,
                      const std::vector<std::vector<at::Tensor>>& values);
  bool shapes_hold() const { return have_shapes(parameters_, optimizer_.parameters()); }

 private:
  std::size_t checked(std::int64_t index) const;
  DType dtype_of(std::size_t index) const;

  std::string kind_;
  TensorOptimizer optimizer_;
  std::vector<at::Tensor> parameters_;
  // Of the current step.
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> parts_;
};

}  // namespace gradstab::python
