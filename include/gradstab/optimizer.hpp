// Optimizer: stabilized optimizers that read each gradient once more than plain ones, and never write it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "gradstab/options.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

// Every optimizer has an options struct with its name in texts and messages, two functions beside the struct,
// and a place in OptimizerOptions. The functions are `visit_settings` and `visit_presets`; the latter calls
// visit(defaults, summary, name in recorded cases if that is different) for each name under which the
// optimizer can be made. An optimizer that lacks one of them does not compile.

/// Stochastic gradient descent, as torch.optim.SGD: the buffer of the first step is the gradient itself,
/// without dampening.
struct SgdOptions {
  double lr = 1e-3;           ///< learning rate, at least 0
  double momentum = 0.0;      ///< at least 0
  double dampening = 0.0;     ///< part of the gradient that does not enter the buffer; 0 with nesterov
  double weight_decay = 0.0;  ///< L2: added to the gradient
  bool nesterov = false;      ///< needs momentum above 0

  constexpr std::string_view name() const noexcept { return "sgd"; }
  bool operator==(const SgdOptions&) const = default;
};

template <class Visit>
constexpr void visit_presets(std::type_identity<SgdOptions>, Visit visit) {
  visit(SgdOptions{}, "stochastic gradient descent, with momentum", "sgd_momentum");
}

template <class Visit>
constexpr void visit_settings(std::type_identity<SgdOptions>, Visit visit) {
  using Options = SgdOptions;
  visit(Setting{"lr", "learning rate", kFiniteNotNegative}, &Options::lr);
  visit(Setting{"momentum", "decay of the momentum buffer", kFiniteNotNegative}, &Options::momentum);
  visit(Setting{"dampening", "part of the gradient that does not enter the buffer; 0 with nesterov", kFinite},
        &Options::dampening);
  visit(Setting{"weight_decay", "L2: added to the gradient", kFiniteNotNegative}, &Options::weight_decay);
  visit(Setting{"nesterov", "Nesterov momentum; needs momentum above 0"}, &Options::nesterov);
}

/// Adam (weight decay as L2) and AdamW (`decoupled`), with AMSGrad by option, as torch.optim.Adam and AdamW.
struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;     ///< in [0, 1)
  double beta2 = 0.999;   ///< in [0, 1)
  double epsilon = 1e-8;  ///< added to the root of the bias-corrected second moment
  double weight_decay = 0.0;
  bool decoupled = false;  ///< weight decay shrinks the parameter instead of joining the gradient
  bool amsgrad = false;    ///< divide by the largest second moment so far
  /// Stable-SPAM's momentum reset: at every step of a parameter whose number is a multiple of this, its
  /// moments start afresh, that of AMSGrad included, and so does their bias correction. 0: never.
  std::int64_t reset_interval = 0;
  /// Under `released` the step of a reset still uses and then drops the old moments, with a bias correction
  /// that has begun anew, and AMSGrad's maximum stays. `parameter_state` shows the old ones until the next
  /// step.
  Compat compat = Compat::robust;

  /// AdamW with PyTorch's default weight decay.
  static constexpr AdamOptions adamw() {
    AdamOptions options;
    options.weight_decay = 0.01;
    options.decoupled = true;
    return options;
  }

  /// The optimizer of Stable-SPAM (arXiv 2502.17055v1), to be used behind chain(adaptive_value_clip(),
  /// adaptive_norm()).
  static constexpr AdamOptions stable_spam() {
    AdamOptions options;
    options.decoupled = true;
    options.reset_interval = 1000;
    return options;
  }

  constexpr std::string_view name() const noexcept { return decoupled ? "adamw" : "adam"; }
  bool operator==(const AdamOptions&) const = default;
};

template <class Visit>
constexpr void visit_presets(std::type_identity<AdamOptions>, Visit visit) {
  visit(AdamOptions{}, "Adam, weight decay as L2");
  visit(AdamOptions::adamw(), "AdamW: decoupled weight decay");
}

template <class Visit>
constexpr void visit_settings(std::type_identity<AdamOptions>, Visit visit) {
  using Options = AdamOptions;
  visit(Setting{"lr", "learning rate", kFiniteNotNegative}, &Options::lr);
  visit(Setting{"beta1", "decay of the first moment", kDecay}, &Options::beta1);
  visit(Setting{"beta2", "decay of the second moment", kDecay}, &Options::beta2);
  visit(Setting{.name = "epsilon",
                .help = "added to the root of the bias-corrected second moment",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"weight_decay", "strength of the weight decay", kFiniteNotNegative}, &Options::weight_decay);
  visit(Setting{"decoupled", "weight decay shrinks the parameter instead of joining the gradient"},
        &Options::decoupled);
  visit(Setting{"amsgrad", "divide by the largest second moment so far"}, &Options::amsgrad);
  visit(Setting{.name = "reset_interval",
                .help = "steps after which the moments start afresh; 0: never",
                .range = kAtLeastZero,
                .published = "update_proj_gap"},
        &Options::reset_interval);
  visit(Setting{"compat", "resets in this library's form or the authors'"}, &Options::compat);
}

/// Lion (arXiv 2302.06675): the sign of an interpolation between momentum and gradient.
struct LionOptions {
  double lr = 1e-4;
  double beta1 = 0.9;         ///< weight of the momentum in the direction of the step
  double beta2 = 0.99;        ///< of the momentum
  double weight_decay = 0.0;  ///< decoupled
  /// Above 0: weight decay is divided by this initial learning rate, so that its strength does not depend on
  /// it.
  double decay_over_lr = 0.0;

  constexpr std::string_view name() const noexcept { return "lion"; }
  bool operator==(const LionOptions&) const = default;
};

template <class Visit>
constexpr void visit_presets(std::type_identity<LionOptions>, Visit visit) {
  visit(LionOptions{}, "Lion: the sign of an interpolated momentum");
}

template <class Visit>
constexpr void visit_settings(std::type_identity<LionOptions>, Visit visit) {
  using Options = LionOptions;
  visit(Setting{"lr", "learning rate", kFiniteNotNegative}, &Options::lr);
  visit(Setting{"beta1", "weight of the momentum in the direction of the step", kDecay}, &Options::beta1);
  visit(Setting{"beta2", "decay of the momentum", kDecay}, &Options::beta2);
  visit(Setting{"weight_decay", "decoupled weight decay", kFiniteNotNegative}, &Options::weight_decay);
  visit(Setting{"decay_over_lr", "above 0: weight decay is divided by this initial learning rate",
                kFiniteNotNegative},
        &Options::decay_over_lr);
}

/// What shares a second moment in Adam-mini.
enum class AdamMiniUnit : std::uint8_t {
  element,  ///< nothing: ordinary Adam
  head,     ///< dim * dim / n_heads consecutive numbers
  row,      ///< an index of axis 0
  tensor,   ///< everything
};

inline constexpr std::string_view kAdamMiniUnitNames[] = {"element", "head", "row", "tensor"};
static_assert(std::size(kAdamMiniUnitNames) == static_cast<std::size_t>(AdamMiniUnit::tensor) + 1);
constexpr std::span<const std::string_view> names_of(AdamMiniUnit) noexcept {
  return kAdamMiniUnitNames;
}

/// Adam-mini (arXiv 2406.16793), version 1.1.1's partition by parameter name: see docs/optimizers.md.
/// Decoupled weight decay, none where the name contains "norm", "ln" or "bias".
struct AdamMiniOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;
  std::int64_t dim = 0;      ///< width of the model, for query and key weights
  std::int64_t n_heads = 0;  ///< attention heads

  /// Applied before the rules by name; `*` in a pattern stands for any characters.
  struct Override {
    std::string pattern;
    AdamMiniUnit unit;

    bool operator==(const Override&) const = default;
  };
  std::vector<Override> overrides = {};

  constexpr std::string_view name() const noexcept { return "adam_mini"; }
  bool operator==(const AdamMiniOptions&) const = default;
};

template <class Visit>
constexpr void visit_presets(std::type_identity<AdamMiniOptions>, Visit visit) {
  visit(AdamMiniOptions{}, "Adam-mini: one second moment per head, row or tensor");
}

template <class Visit>
constexpr void visit_settings(std::type_identity<AdamMiniOptions>, Visit visit) {
  using Options = AdamMiniOptions;
  visit(Setting{"lr", "learning rate", kFiniteNotNegative}, &Options::lr);
  visit(Setting{"beta1", "decay of the first moment", kDecay}, &Options::beta1);
  visit(Setting{"beta2", "decay of the second moment", kDecay}, &Options::beta2);
  visit(Setting{.name = "epsilon",
                .help = "added to the root of the bias-corrected second moment",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"weight_decay", "decoupled weight decay", kFiniteNotNegative}, &Options::weight_decay);
  visit(Setting{"dim", "width of the model, for query and key weights", kAtLeastZero}, &Options::dim);
  visit(Setting{"n_heads", "attention heads", kAtLeastZero}, &Options::n_heads);
  visit(Setting{"overrides", "units by patterns of parameter names, before the rules by name"},
        &Options::overrides);
}

/// SPAM (arXiv 2501.06842): Adam whose gradient is clipped element by element where its square exceeds
/// `threshold` times the second moment, and whose moments start afresh every `reset_interval` steps.
struct SpamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-6;
  double weight_decay = 0.0;          ///< decoupled, after the update
  double threshold = 5000.0;          ///< above 0
  std::int64_t reset_interval = 500;  ///< steps; 0: never
  std::int64_t warmup_steps = 150;    ///< after a reset the learning rate rises along a cosine
  std::int64_t quiet_steps = 20;      ///< after a reset nothing is clipped; also in the first steps of all

  constexpr std::string_view name() const noexcept { return "spam"; }
  bool operator==(const SpamOptions&) const = default;
};

template <class Visit>
constexpr void visit_presets(std::type_identity<SpamOptions>, Visit visit) {
  visit(SpamOptions{}, "SPAM: Adam with clipped spikes and momentum resets");
}

template <class Visit>
constexpr void visit_settings(std::type_identity<SpamOptions>, Visit visit) {
  using Options = SpamOptions;
  visit(Setting{"lr", "learning rate", kFiniteNotNegative}, &Options::lr);
  visit(Setting{"beta1", "decay of the first moment", kDecay}, &Options::beta1);
  visit(Setting{"beta2", "decay of the second moment", kDecay}, &Options::beta2);
  visit(Setting{.name = "epsilon",
                .help = "added to the root of the bias-corrected second moment",
                .range = kFiniteNotNegative,
                .published = "eps"},
        &Options::epsilon);
  visit(Setting{"weight_decay", "decoupled weight decay, after the update", kFiniteNotNegative},
        &Options::weight_decay);
  visit(
      Setting{"threshold", "an element is cut where its square exceeds this many second moments", kAboveZero},
      &Options::threshold);
  visit(Setting{.name = "reset_interval",
                .help = "steps after which the moments start afresh; 0: never",
                .range = kAtLeastZero,
                .published = "DeltaT"},
        &Options::reset_interval);
  visit(Setting{"warmup_steps", "steps after a reset in which the learning rate rises", kAtLeastZero},
        &Options::warmup_steps);
  visit(Setting{.name = "quiet_steps",
                .help = "steps after a start or reset in which nothing is clipped",
                .range = kAtLeastZero,
                .published = "grad_accu_steps"},
        &Options::quiet_steps);
}

using OptimizerOptions = std::variant<SgdOptions, AdamOptions, LionOptions, AdamMiniOptions, SpamOptions>;

/// Such as "adamw": see optimizers() in gradstab/methods.hpp.
GRADSTAB_API std::string_view name_of(const OptimizerOptions& options) noexcept;

/// Errors name the setting, its value and its range.
GRADSTAB_API Status validate(const OptimizerOptions& options);

/// How bfloat16 parameters are updated. float32 and float64 parameters are updated as they are.
enum class LowPrecision : std::uint8_t {
  master_copy,          ///< a float32 copy inside the optimizer is updated and rounded to the parameter
  stochastic_rounding,  ///< no copy: results are rounded up or down at random, right on average
};

inline constexpr std::string_view kLowPrecisionNames[] = {"master_copy", "stochastic_rounding"};
static_assert(std::size(kLowPrecisionNames) ==
              static_cast<std::size_t>(LowPrecision::stochastic_rounding) + 1);
constexpr std::span<const std::string_view> names_of(LowPrecision) noexcept {
  return kLowPrecisionNames;
}

/// One set of parameters with settings of their own.
struct OptimizerGroup {
  OptimizerOptions options;
  std::vector<std::size_t> parameters;  ///< positions in the ParameterSet
};

/// How an optimizer runs, beside what its transform's RunOptions say.
struct OptimizerRunOptions {
  RunOptions run = {};
  LowPrecision low_precision = LowPrecision::master_copy;
  std::uint64_t seed = 0;  ///< of stochastic rounding
};

/// An optimizer with a gradient transform in front. The factors that the transform decides on are folded into
/// the update, so that a step reads every gradient twice (once from cache, if its batch fits) and writes
/// none. Element-wise methods (`clip_by_value`, `spike_aware_clip`, `adaptive_value_clip`) are the exception:
/// they rewrite the gradients in place, and what follows them is folded into the update.
///
/// Movable, not copyable. One step at a time.
class GRADSTAB_API Optimizer {
 public:
  /// `transform` may be any transform or chain; without one, gradients are used as they are.
  explicit Optimizer(OptimizerOptions options, std::optional<GradientTransform> transform = {});
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;
  ~Optimizer();

  /// Binds to parameters; a second call starts afresh. `groups` may be empty: all parameters then have the
  /// options given at construction. Otherwise each parameter is in exactly one group, and all groups are of
  /// the same kind of optimizer as those options. Errors, after which the optimizer is not initialised: an
  /// invalid setting, groups that do not partition the parameters, whatever the transform refuses, and for
  /// Adam-mini a parameter whose partition is unclear.
  Status init(ParameterSet parameters, OptimizerRunOptions options = {},
              const std::vector<OptimizerGroup>& groups = {});
  /// Drops parameters and state; the optimizer is as before `init`.
  void unbind() noexcept;

  /// Continues after parameters were added or regrouped: the state of names that stay is kept. Without
  /// groups all parameters have the settings that group 0 has now. The positions in `fresh` start afresh:
  /// their name now stands for another parameter, perhaps of another shape. An error leaves everything as it
  /// was. Only if memory is too short to restore the old state, `rebind` and `load` leave the optimizer
  /// uninitialised.
  Status rebind(ParameterSet parameters, const std::vector<OptimizerGroup>& groups = {},
                std::span<const std::size_t> fresh = {});

  /// One step over all parameters, in place. `parameters` and `gradients` have one entry per parameter in the
  /// registered order; one without gradient data is left out. Parameters are float32, float64 (with float64
  /// gradients) or bfloat16 and dense in memory; gradients may have any strides and, unless float64, any
  /// dtype. The first step of a parameter allocates its state; later ones allocate nothing.
  ///
  /// Errors leave parameters, gradients and state as they were. If the report says `skip_step`, nothing was
  /// done either.
  Result<StepReport> step(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                          std::optional<std::int64_t> step = {});

  /// `step` in two parts, for sharded parameters, which are registered in the shape of this process's part.
  /// `measure` has the arguments of `step`; then `squared_norms` has one number per parameter, 0 without a
  /// gradient. The caller replaces them by sums over the processes, and by kNoGradient where none of them has
  /// one. `finish` decides on them, which gives the same factors in every process, and updates what is here;
  /// the memory given to `measure` must still be there. Another step, measurement, set of parameters or state
  /// in between discards the measurement.
  ///
  /// Squares of float64 gradients leave the range above norms of 1e154, which then count as not finite.
  /// Errors beside those of `step`: a transform that looks at more than the norms of whole tensors;
  /// Adam-mini, whose units would need sums of their own; `finish` without a `measure` that succeeded right
  /// before it.
  Status measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients);
  std::span<double> squared_norms() noexcept;
  Result<StepReport> finish();

  /// One step of one parameter, for calling as soon as backward has produced its gradient, which may be freed
  /// afterwards. Errors beside those of `step`: a transform or optimizer that needs all tensors at once (the
  /// message says which and what to use), policy `skip_step`, which can only be decided over all tensors.
  Result<TensorReport> step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient);

  /// Whether `step_one` is possible; the error says why not. After `init`.
  Status can_step_one() const;

  /// Measures one gradient ahead of `step`, while it is still in cache: the next `step` uses this norm
  /// if it is given the same gradient memory. The gradient must not change in between.
  Status measure_one(std::size_t index, const TensorRef& gradient);

  /// What the last `step` saw, under policy `raise` also if it returned `non_finite`. Without tensors if it
  /// was refused for another reason; every tensor absent before the first one. `step_one` and `measure_one`
  /// write into the same memory.
  const StepReport& report() const noexcept;

  const ParameterSet& parameters() const noexcept;
  std::string name() const;
  std::string_view backend_name() const noexcept;

  /// Before `init` there is one group, of the options given at construction; changes to it are what `init`
  /// starts with. Errors of all these: no such group.
  std::size_t group_count() const noexcept;
  /// Settings of a group, to be changed between steps (learning-rate schedules). Everything but the kind of
  /// optimizer may change; AMSGrad and momentum only before the first step. Errors change nothing.
  Result<OptimizerOptions> options(std::size_t group = 0) const;
  Status set_options(std::size_t group, OptimizerOptions options);
  /// Sets the learning rate of all groups, or of one. Errors: a rate that is not finite, or negative.
  Status set_lr(double lr);
  Status set_lr(std::size_t group, double lr);

  /// The state of the transform's methods.
  std::vector<MethodState> transform_state() const;

  /// State of the transform and of every parameter as bytes (docs/state-format.md). Settings are not part of
  /// it.
  Result<std::vector<std::byte>> save() const;
  /// Restores such a state into an optimizer of the same kind and transform over parameters of the same names
  /// and shapes, in any order. `names`, unless empty, are the names here of the saved parameters, in the
  /// order of `saved_parameters`. An error leaves the state as it was.
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names = {});

  /// The transform's state of one parameter, and how to restore it: as in GradientTransform.
  Result<std::vector<ParameterStatistic>> statistics(std::size_t index) const;
  Status set_statistics(std::span<const std::vector<ParameterStatistic>> of_parameters);

  /// State of one parameter for exchange with other optimizers, in the memory order of the parameter:
  /// exp_avg, exp_avg_sq and max_exp_avg_sq of Adam, the momentum buffer of SGD and Lion; of Adam-mini
  /// exp_avg and one second moment per unit. `values` are float32 for float32 and bfloat16 parameters,
  /// float64 for float64 ones. Before the first step there are no values, and setting none starts afresh.
  struct ParameterState {
    std::int64_t step = 0;
    std::vector<std::vector<double>> values;
    std::vector<double> master = {};  ///< the float32 copy of a bfloat16 parameter, where there is one
    std::int64_t steps = 0;           ///< of the optimizer; setting it never lowers the count
  };
  Result<ParameterState> parameter_state(std::size_t index) const;
  /// Only the number of its steps.
  Result<std::int64_t> step_of(std::size_t index) const;
  /// `dtype` is that of the parameter. Errors: other lengths, a dtype that is not updated, a bfloat16
  /// parameter whose copy is missing.
  Status set_parameter_state(std::size_t index, DType dtype, const ParameterState& state);

 private:
  friend struct OptimizerAccess;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gradstab
