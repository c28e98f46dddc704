// StepEngine: one step over all gradients. Measures, lets the links decide, applies.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/gradient_memory.hpp"
#include "core/gradient_sink.hpp"
#include "core/norm_transform.hpp"
#include "core/segments.hpp"
#include "core/shared_memory.hpp"
#include "core/step_plan.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

using Links = std::vector<std::unique_ptr<NormTransform>>;

class StepEngine {
 public:
  /// Allocates all that steps over these parameters need. `options` has an executor.
  void bind(const ParameterSet& parameters, const Segments& segments, const Links& links,
            const Backend& backend, const RunOptions& options);

  /// Whether gradients are measured at all; reports then have norms. On unless switched off, which is for
  /// chains without links under policy `pass_through`.
  void set_measuring(bool measures) noexcept { measures_ = measures; }

  /// Checks the gradients of this step and keeps what the kernels need of them.
  Status take(const ParameterSet& parameters, std::span<const TensorRef> tensors);

  enum class Outcome { done, skipped };

  /// The step over the gradients taken. Errors, and the outcome `skipped` under policy `skip_step`, leave
  /// gradients and state of the links as they were.
  /// With a sink, the gradients stay as they are and the sink gets them.
  Result<Outcome> run(const ParameterSet& parameters, const Links& links, GradientSink* sink);

  /// `take` and `run` for one tensor alone. No link needs all tensors; policy `raise` is kept, `skip_step` is
  /// not asked for.
  Status take_one(const ParameterSet& parameters, std::size_t tensor, const TensorRef& gradient);
  Result<TensorReport> run_one(const ParameterSet& parameters, std::size_t tensor, const Links& links,
                               GradientSink& sink);

  /// Measures one tensor ahead of the next `run`, which takes the norm from here if the same memory is given.
  Status measure_one(const ParameterSet& parameters, std::size_t tensor, const TensorRef& gradient);

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

  Status take_tensor(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status take_present(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status take_layout(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status refuse_shared_memory(const ParameterSet& parameters);
  Result<Outcome> run_batches(const ParameterSet& parameters, const Links& links, GradientSink* sink);
  GradientView view_of(const Block& block) const noexcept;
  Piece piece_of(const Block& block, const GradientView& view) const noexcept;
  void measure(const StepPlan& plan, const Batch& batch);
  void measure_blocks(const StepPlan& plan, const Batch& batch);
  void finish_measuring(const Batch& batch);
  void set_aside_nonfinite(const Batch& batch);
  bool any_nonfinite(const Batch& batch) const noexcept;
  Status nonfinite_error(const ParameterSet& parameters) const;
  void decide(const Batch& batch, const Links& links);
  void apply(const Batch& batch);
  void hand_over(const StepPlan& plan, const Batch& batch, GradientSink& sink);
  const StepPlan& plan_per_tensor(const ParameterSet& parameters);
  TensorReport report_of(std::size_t tensor) const noexcept;

  enum class Order { forwards, backwards };
  template <class Body>
  void for_each_block(const StepPlan& plan, const Batch& batch, Order order, Body body);

  const Backend* backend_ = nullptr;
  Executor* executor_ = nullptr;
  NonFinitePolicy nonfinite_ = NonFinitePolicy::skip_tensor;
  NormNeeds needs_;
  Segments segments_;
  StepPlan plan_;
  StepPlan plan_per_tensor_;  // made when it is first needed
  bool measures_ = true;

  // One entry per tensor.
  std::vector<GradientView> gradients_;
  std::vector<Layout> layouts_;        // of those whose elements do not lie side by side
  std::vector<const void*> measured_;  // the memory measured ahead of this step
  SharedMemory memory_;
  std::vector<TensorReport> tensor_reports_;
  // One entry per segment.
  std::vector<TensorReport> reports_;
  std::vector<double> max_abs_;
  // One entry per block.
  std::vector<double> block_sums_;
  std::vector<double> block_max_abs_;
};

}  // namespace gradstab
