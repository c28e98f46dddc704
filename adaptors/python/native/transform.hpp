// The custom class that holds a GradientTransform for Python: torch.classes.gradient_stabilizer.Transform.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/custom_class.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "gradstab/transform.hpp"
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
  /// The same by shape, for gradients that are not the parameters' own (`update`, `decide`).
  void bind_shapes(const std::vector<std::string>& names, const std::vector<std::vector<std::int64_t>>& sizes,
                   const std::vector<std::int64_t>& fresh);

  /// Transforms the gradients of the bound parameters in place. False: the optimizer's step must be left out.
  /// With `check_repeats`, refuses gradients that the last call has left as they are.
  bool step(bool check_repeats);

  /// Transforms these gradients, those of the registered parameters at `positions`; the others are absent.
  /// `parameters` are their values, or empty. Returns the norms before, float64, one per gradient.
  at::Tensor update(const std::vector<std::int64_t>& positions, const std::vector<at::Tensor>& gradients,
                    const std::vector<at::Tensor>& parameters);

  /// Factors (float64) from squared norms (float64) of all registered parameters, -1 where there is no
  /// gradient: for gradients whose parts are measured and scaled elsewhere. A factor of 0 means zeros,
  /// whatever the gradient holds.
  at::Tensor decide(const at::Tensor& squared_norms);

  ReportTensors report() const { return to_tensors(transform_.report()); }
  bool skips_step() const { return transform_.report().skip_step; }
  at::Tensor norms() const { return raw_norms(transform_.report()); }
  std::string name() const { return transform_.name(); }
  std::string backend() const { return std::string(transform_.backend_name()); }

  /// What the methods remember: "0.stabilize.m" and the like, and their values, float64.
  std::tuple<std::vector<std::string>, std::vector<at::Tensor>> state() const;

  at::Tensor save() const;
  void load(const at::Tensor& bytes);

  /// A number by which the operators find this object as long as it lives.
  std::int64_t id() const { return id_; }
  static Transform& by_id(std::int64_t id);

 private:
  void register_set(ParameterSet set, const std::vector<std::int64_t>& fresh);

  GradientTransform transform_;
  RunOptions run_;
  bool bound_ = false;
  std::vector<at::Tensor> parameters_;  // empty after bind_shapes
  // Of the current step; members so that a step allocates as little as it can.
  std::vector<at::Tensor> gradients_;
  std::vector<TensorRef> gradient_refs_;
  std::vector<TensorRef> parameter_refs_;
  LeftGradients left_;
  std::int64_t id_ = 0;
};

/// Squared norms (float64) of tensors of any layout and dtype, by the library's own measurement.
at::Tensor squared_norms(const std::vector<at::Tensor>& tensors);

/// Multiplies in place by factors (float64), rounding once; 0 gives zeros also where there was NaN.
void scale(const std::vector<at::Tensor>& tensors, const at::Tensor& factors);

}  // namespace gradstab::python
