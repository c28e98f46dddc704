// StepEngine: one step over all gradients. Measures, lets the links decide, applies.
//
// The links are cut into stages at every element-wise one. A stage measures once, however many norm-based
// links it has: the first one the gradients as they come, each later one what its element-wise link leaves,
// in the pass in which that link writes it. A chain without element-wise links is one stage.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/shared_memory.hpp"
#include "core/step/element_transform.hpp"
#include "core/step/gradient_sink.hpp"
#include "core/step/norm_transform.hpp"
#include "core/step/segment_norms.hpp"
#include "core/step/segments.hpp"
#include "core/step/step_plan.hpp"
#include "core/step/tensor_views.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

using Links = std::vector<std::unique_ptr<ChainLink>>;

class StepEngine {
 public:
  /// Allocates all that steps over these parameters need. `options` has an executor; the links, which are
  /// bound to the same segments, must outlive the steps.
  void bind(const ParameterSet& parameters, const Segments& segments, const Links& links,
            const Backend& backend, const RunOptions& options);

  /// Whether gradients are measured at all; reports then have norms. On unless switched off, which is for
  /// chains without links under policy `pass_through`.
  void set_measuring(bool measures) noexcept { measures_ = measures; }

  /// Checks the gradients of this step and keeps what the kernels need of them.
  Status take(const ParameterSet& parameters, std::span<const TensorRef> tensors);

  /// Whether a link asks for the norms of the parameters: they must then be taken as well, after the
  /// gradients.
  bool needs_parameters() const noexcept { return needs_parameters_; }
  Status take_parameters(const ParameterSet& parameters, std::span<const TensorRef> tensors);
  Status take_parameter(const ParameterSet& parameters, std::size_t index, const TensorRef& tensor);

  enum class Outcome { done, skipped };

  /// The step over the gradients taken. Errors, and the outcome `skipped` under policy `skip_step`, leave
  /// gradients and state of the links as they were; but where a link's decision fails, links have decided.
  /// With a sink, the gradients stay as they are, but for what element-wise links write, and the sink gets
  /// them with the factors that are pending.
  Result<Outcome> run(const ParameterSet& parameters, GradientSink* sink);

  /// `take` and `run` for one tensor alone. No link needs all tensors; policy `raise` is kept, `skip_step` is
  /// not asked for.
  Status take_one(const ParameterSet& parameters, std::size_t tensor, const TensorRef& gradient);
  Result<TensorReport> run_one(const ParameterSet& parameters, std::size_t tensor, GradientSink& sink);

  /// Measures one tensor ahead of the next `run`, which takes the norm from here if the same memory is given.
  Status measure_one(const ParameterSet& parameters, std::size_t tensor, const TensorRef& gradient);

  /// Measures all gradients that were taken, and writes one squared norm per tensor: 0 without a gradient.
  void measure_all(std::span<double> squared_norms);
  /// After `take`, or `take_nothing`: the next `run` decides on these instead of measuring, which all links
  /// must be content with. Tensors with kNoGradient are absent; those that are present without a gradient
  /// here are decided on and not written.
  void give(std::span<const double> squared_norms) noexcept;
  /// A step without gradients.
  void take_nothing(const ParameterSet& parameters);

  const StepPlan& plan() const noexcept { return plan_; }
  const Segments& segments() const noexcept { return segments_; }

  /// Of the last step. Views this object's memory.
  StepReport summarize();

 private:
  /// Policies that may leave everything unchanged must have seen every norm before the first gradient is
  /// touched.
  bool may_change_nothing() const noexcept {
    return nonfinite_ == NonFinitePolicy::raise || nonfinite_ == NonFinitePolicy::skip_step;
  }

  struct Stage {
    ElementTransform* elements = nullptr;  // none in the first stage
    std::vector<NormTransform*> norms;
  };

  Status take_tensor(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status take_present(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status refuse_shared_memory(const ParameterSet& parameters);
  Result<Outcome> run_batches(const ParameterSet& parameters, GradientSink* sink);
  Status run_stages(const StepPlan& plan, const Batch& batch, GradientSink* sink);
  GradientView view_of(const Block& block, const TensorViews& tensors) const noexcept;
  GradientView view_of(const Block& block) const noexcept { return view_of(block, gradients_); }
  Piece piece_of(const Block& block, const GradientView& view) const noexcept;
  void measure(const StepPlan& plan, const Batch& batch);
  void measure_blocks(const StepPlan& plan, const Batch& batch);
  void finish_measuring(const Batch& batch);
  void measure_parameters(const StepPlan& plan, const Batch& batch);
  void map_elements(const StepPlan& plan, const Batch& batch, ElementTransform& elements);
  void keep_raw_norms(const Batch& batch);
  void restore_raw_norms(const Batch& batch);
  void set_aside_nonfinite(const Batch& batch);
  bool any_nonfinite(const Batch& batch) const noexcept;
  Status nonfinite_error(const ParameterSet& parameters) const;
  Measures measures(IndexRange segments, const NormNeeds& needs) const noexcept;
  Status decide(const Batch& batch, const Stage& stage);
  void apply(const Batch& batch);
  void hand_over(const StepPlan& plan, const Batch& batch, GradientSink& sink);
  const StepPlan& plan_per_tensor(const ParameterSet& parameters);
  TensorReport report_of(std::size_t tensor) const noexcept;

  enum class Order { forwards, backwards };
  static std::size_t task_at(IndexRange tasks, Order order, std::size_t index) noexcept;
  template <class Body>
  void for_each_block(const StepPlan& plan, const Batch& batch, Order order, Body body);

  const Backend* backend_ = nullptr;
  Executor* executor_ = nullptr;
  NonFinitePolicy nonfinite_ = NonFinitePolicy::skip_tensor;
  bool needs_parameters_ = false;
  bool may_fail_ = false;      // a decision
  std::vector<Stage> stages_;  // at least one
  Segments segments_;
  StepPlan plan_;
  StepPlan plan_per_tensor_;  // made when it is first needed
  bool measures_ = true;
  bool given_ = false;  // norms, for this step

  // One entry per tensor.
  TensorViews gradients_;
  TensorViews parameters_;             // empty unless asked for
  std::vector<const void*> measured_;  // the memory measured ahead of this step
  SharedMemory memory_;
  std::vector<TensorReport> tensor_reports_;
  // One entry per segment.
  std::vector<TensorReport> reports_;
  std::vector<double> parameter_norms_;
  struct Raw {
    double norm;
    bool finite;
  };
  std::vector<Raw> raw_;  // of the gradients as they came, while later stages measure what became of them
  // Of segments and blocks.
  GradientNorms gradient_norms_;
  EuclideanNorms parameter_sums_;
};

}  // namespace gradstab
