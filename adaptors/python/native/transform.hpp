// The custom class that holds a GradientTransform for Python: torch.classes.gradient_stabilizer.Transform.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "aten/tensor_transform.hpp"
#include "left_gradients.hpp"
#include "report.hpp"
#include "settings.hpp"
#include "tensors.hpp"

namespace gradstab::python {

/// A method or chain, bound to parameters. All members throw what errors.hpp describes.
class Transform final : public torch::CustomClassHolder {
 public:
  Transform(const Description& description, const std::string& nonfinite, const std::string& backend);
  ~Transform() override;

  /// Registers parameters under names. State of the names that stay is kept, except where their index is in
  /// `fresh`; the rest is dropped.
  void bind(std::vector<at::Tensor> parameters, const std::vector<std::string>& names,
            const std::vector<std::int64_t>& fresh);
  /// The same by shape, for gradients that are not the parameters' own (`update`, `decide`). With the shapes
  /// of what this process has of each, where that is not all; otherwise `parts` is empty.
  void bind_shapes(const std::vector<std::string>& names, const std::vector<std::vector<std::int64_t>>& sizes,
                   const std::vector<std::vector<std::int64_t>>& parts,
                   const std::vector<std::int64_t>& fresh);

  /// Transforms the gradients of the bound parameters in place. False: the optimizer's step must be left out.
  /// With `check_repeats`, refuses gradients that are, to the content, what the last call has left.
  bool step(bool check_repeats);

  /// Transforms these gradients, those of the registered parameters at `positions`; the others are absent.
  /// `parameters` are their values, or empty. False: the optimizer's step must be left out.
  bool step_at(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
               const std::vector<at::Tensor>& parameters);
  /// The same; returns the norms before, float64, one per gradient.
  at::Tensor update(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
                    const std::vector<at::Tensor>& parameters);

  /// The squared norms of parts, those of the registered parameters at `positions`, float64 and one for every
  /// parameter, in memory of the device where the parts are; an undefined one where no device makes the step.
  /// The caller sums them over the processes in place, -1 where none has a gradient, and calls
  /// `finish_parts`.
  at::Tensor measure_parts(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& parts);
  /// Scales the parts that were measured. False: the optimizer's step must be left out.
  bool finish_parts();

  /// Factors (float64) from squared norms (float64) of all registered parameters, -1 where there is no
  /// gradient: for gradients whose parts are measured and scaled elsewhere. A factor of 0 means zeros,
  /// whatever the gradient holds.
  at::Tensor decide(const at::Tensor& squared_norms);

  // The first two wait where the step was made on a device; the norms are on it then.
  ReportTensors report();
  bool skips_step();
  at::Tensor norms();
  std::string name() const { return transform_.name(); }
  std::string backend() const { return transform_.backend_name(); }

  /// What the methods remember: "0.stabilize.m" and the like, and their values, float64.
  std::tuple<std::vector<std::string>, std::vector<at::Tensor>> state();

  at::Tensor save();
  /// `names`: see GradientTransform::load.
  void load(const at::Tensor& bytes, const std::vector<std::string>& names);

  /// What is remembered of the registered parameters at `positions`, and its way back, with an entry for
  /// every registered one: see GradientTransform::statistics.
  Statistics statistics(const std::vector<std::int64_t>& positions);
  void set_statistics(const std::vector<std::vector<std::string>>& names,
                      const std::vector<std::vector<at::Tensor>>& values);

  /// The squared norms of parts, those of the registered parameters at `positions`: see squared_norms.
  at::Tensor squared_norms_of(const std::vector<std::int64_t>& positions,
                              const std::vector<at::Tensor>& parts) const;

  /// The gradients of parameters that have one, each replaced first where it cannot be written: see
  /// writable_gradient_of.
  std::vector<at::Tensor> writable_gradients(std::vector<at::Tensor> parameters) const;

  /// Whether the parameters still have the shapes in which they were registered.
  bool shapes_hold() const { return have_shapes(parameters_, transform_.parameters()); }

  /// A number by which the operators find this object as long as it lives.
  std::int64_t id() const { return id_; }
  static Transform& by_id(std::int64_t id);

 private:
  void register_set(ParameterSet set, std::optional<ParameterSet> parts,
                    const std::vector<std::int64_t>& fresh);
  bool come_again(const std::vector<at::Tensor>& gradients);

  TensorTransform transform_;
  std::vector<at::Tensor> parameters_;  // empty after bind_shapes
  // Of the current step; members so that a step allocates as little as it can.
  std::vector<at::Tensor> gradients_;
  std::vector<at::Tensor> values_;
  LeftGradients left_;
  std::int64_t id_ = 0;
};

}  // namespace gradstab::python
