// The inside of an Optimizer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/shared_memory.hpp"
#include "core/base/text.hpp"
#include "core/optimizer/optimizer_memory.hpp"
#include "core/step/gradient_sink.hpp"
#include "core/transform/transform_impl.hpp"
#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"

namespace gradstab {

inline Status not_initialised(std::string_view call) {
  return {StatusCode::failed_precondition, detail::concat(call, " was called before a successful init")};
}

struct GRADSTAB_LOCAL Optimizer::Impl final : GradientSink {
  Impl(OptimizerOptions made_with, std::optional<GradientTransform> given)
      : default_options(std::move(made_with)), transform(chain_with(std::move(given))) {}

  OptimizerOptions default_options;
  GradientTransform transform;
  OptimizerRunOptions run;
  bool initialised = false;

  std::vector<OptimizerOptions> groups;
  // One entry per parameter.
  std::vector<std::size_t> group_of;
  std::vector<ParameterRule> rules;
  std::vector<ParameterMemory> memory;
  std::vector<UpdateTarget> targets;
  SharedMemory parameter_memory;
  std::vector<UpdateScalars> scalars;
  std::vector<const std::byte*> gradients;  // null where there is none in this step
  std::vector<double> squared_norms;        // between `measure` and `finish`
  // Adam-mini: one entry per segment, what the step size is divided by.
  std::vector<double> unit_root;
  std::int64_t steps = 0;
  bool measured = false;  // `finish` may come

  /// As a chain of its own, which carries what is wrong with it to init.
  static GradientTransform chain_with(std::optional<GradientTransform> given) {
    std::vector<GradientTransform> links;
    if (given) links.push_back(std::move(*given));
    return chain_of(std::move(links));
  }
  GradientTransform::Impl& inner() noexcept { return *transform.impl_; }
  const GradientTransform::Impl& inner() const noexcept { return *transform.impl_; }
  const OptimizerOptions& options_of(std::size_t parameter) const noexcept {
    return groups[group_of[parameter]];
  }
  bool needs_norms() const noexcept;
  /// False also where the transform ran out of memory on its way back to what it was.
  bool ready() const noexcept { return initialised && inner().initialised; }

  Status init(ParameterSet parameters, OptimizerRunOptions options,
              const std::vector<OptimizerGroup>& given_groups);
  void unbind() noexcept;
  Status rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& given_groups,
                std::span<const std::size_t> fresh);
  /// The groups as init takes them.
  std::vector<OptimizerGroup> current_groups() const;
  /// Gives the parameters that are registered now what is known of them from before.
  Status take_over(const ParameterSet& before, std::span<const ParameterRule> rules_before,
                   std::span<ParameterMemory> memory_before, std::span<const std::size_t> fresh);
  /// The settings of every group; of the one that there is where the optimizer is not ready.
  std::span<OptimizerOptions> settings() noexcept;
  Status check_group(std::size_t group) const;
  /// Checks the parameter against its gradient, which the engine has taken.
  Status take_target(std::size_t index, const TensorRef& parameter, const TensorRef& gradient);
  Status refuse_shared_memory();
  /// Counts a step of this parameter and works out its numbers; the first step allocates its state.
  /// `cancel_step` takes that back, whatever of it was done.
  void begin_step(std::size_t index, std::int64_t global);
  void cancel_step(std::size_t index) noexcept;
  class BegunSteps;
  Result<StepReport> step(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients_now,
                          std::optional<std::int64_t> step_number);
  /// The two halves of a step: checks and takes the tensors; decides and updates.
  Status take_all(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients_now,
                  std::optional<std::int64_t> step_number);
  Result<StepReport> run_taken(std::optional<std::int64_t> step_number);
  Status measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients_now);
  Result<StepReport> finish();
  Result<TensorReport> step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient);
  Status can_step_one() const;

  void prepare(IndexRange tensors, std::span<const TensorReport> reports) noexcept override;
  void take(const Block& block, const GradientView& gradient, const TensorReport& report) noexcept override;
  /// The update of a block whose gradient is copied piece by piece: because it is in another order than the
  /// parameter, or to be read as zero, which NaN times 0 is not. `begin` counts from the tensor's first
  /// element.
  void update_through_copy(UpdateBlock block, const UpdateScalars& numbers, const UpdateTarget& target,
                           const std::byte* gradient, std::int64_t begin) const noexcept;

  std::vector<std::byte> save() const;
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names);
};

}  // namespace gradstab
