// StepEngine: one step over all gradients. Measures, lets the links decide, applies.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/gradient_memory.hpp"
#include "core/norm_transform.hpp"
#include "core/segments.hpp"
#include "core/step_plan.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

using Links = std::vector<std::unique_ptr<NormTransform>>;

class StepEngine {
 public:
  /// Allocates all that steps over these parameters need. `options` has an executor.
  void bind(const ParameterSet& parameters, const Segments& segments, const Links& links,
            const Backend& backend, const RunOptions& options);

  /// Checks the gradients of this step and keeps what the kernels need of them.
  Status take(const ParameterSet& parameters, std::span<const TensorRef> tensors);

  enum class Outcome { done, skipped };

  /// The step over the gradients taken. Errors, and the outcome `skipped` under policy `skip_step`, leave
  /// gradients and state of the links as they were.
  Result<Outcome> run(const ParameterSet& parameters, const Links& links);

  /// Of the last step. Views this object's memory.
  StepReport summarize();

 private:
  /// Policies that may leave everything unchanged must have seen every norm before the first gradient is
  /// touched.
  bool may_change_nothing() const noexcept {
    return nonfinite_ == NonFinitePolicy::raise || nonfinite_ == NonFinitePolicy::skip_step;
  }

  Status take_one(const Parameter& parameter, const TensorRef& tensor, std::size_t index);
  Status refuse_shared_memory(const ParameterSet& parameters);
  GradientView view_of(const Block& block) const noexcept;
  Piece piece_of(const Block& block, const GradientView& view) const noexcept;
  void measure(const Batch& batch);
  void finish_measuring(const Batch& batch);
  void set_aside_nonfinite(const Batch& batch);
  bool any_nonfinite(const Batch& batch) const noexcept;
  Status nonfinite_error(const ParameterSet& parameters) const;
  void decide(const Batch& batch, const Links& links);
  void apply(const Batch& batch);

  enum class Order { forwards, backwards };
  template <class Body>
  void for_each_block(const Batch& batch, Order order, Body body);

  const Backend* backend_ = nullptr;
  Executor* executor_ = nullptr;
  NonFinitePolicy nonfinite_ = NonFinitePolicy::skip_tensor;
  NormNeeds needs_;
  Segments segments_;
  StepPlan plan_;

  // One entry per tensor.
  std::vector<GradientView> gradients_;
  std::vector<std::size_t> by_address_;  // tensors, in the order of their memory in the last step
  std::vector<TensorReport> tensor_reports_;
  // One entry per segment.
  std::vector<TensorReport> reports_;
  std::vector<double> max_abs_;
  // One entry per block.
  std::vector<double> block_sums_;
  std::vector<double> block_max_abs_;
};

}  // namespace gradstab
