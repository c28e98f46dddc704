// GradientTransform: measure, decide, apply. Reports of what a step saw and did, and the state of methods.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {

/// One tensor in one step.
struct TensorReport {
  double raw_norm = 0.0;  ///< Euclidean norm of the gradient as it came in; NaN or infinite if an element is
  /// The number that the gradient was (or, while pending, will be) multiplied by. After an element-wise
  /// method: the norm after it divided by the norm before.
  double factor = 1.0;
  bool present = false;  ///< there was a gradient
  bool finite = true;    ///< the gradient held neither NaN nor Inf
  bool spike = false;    ///< the raw norm was far above its recent statistics
  bool zeroed = false;   ///< the gradient was replaced by zeros (non-finite under `skip_tensor`)

  /// Norm after the factors decided so far. Needs no second read of memory: |factor| times the raw norm.
  double norm() const noexcept { return zeroed ? 0.0 : raw_norm * (factor < 0 ? -factor : factor); }
};

/// Stands in place of a squared norm if there is no gradient.
inline constexpr double kNoGradient = -1.0;

/// One step over all registered parameters, in their order. Points into the transform's memory: valid until
/// its next update.
struct StepReport {
  std::span<const TensorReport> tensors;
  /// If a method works per row: one entry per row of every tensor, and the index of each tensor's first row
  /// (and, last, the number of all). A tensor's own report then holds the norms of all its rows together, and
  /// its factor is their quotient. Empty otherwise.
  std::span<const TensorReport> rows = {};
  std::span<const std::size_t> first_row = {};
  std::int64_t step = 0;         ///< updates made by this transform, this one included
  double raw_global_norm = 0.0;  ///< over all tensors whose gradient is present and finite
  double global_norm = 0.0;      ///< the same after the transform
  std::size_t spikes = 0;        ///< tensors flagged in this step
  std::size_t nonfinite = 0;     ///< tensors with NaN or Inf in this step
  bool skip_step = false;        ///< policy `skip_step` asks the caller not to run the optimizer
};

/// One number per unit of the method (tensor, row, group), in their order; a single one if the method keeps
/// one for all. Empty while there is none, such as the statistics before the end of a warm-up.
struct StateField {
  std::string_view name;
  std::vector<double> values;
};

/// State to look at, and to compare with other implementations; `GradientTransform::save` is for restoring.
/// Names are the letters of docs/methods.md: for `stabilize` "m" and "v", the moments without bias
/// correction, "k", the number of norms that entered them, and "skipped".
struct MethodState {
  std::string_view method;  ///< "stabilize"
  std::vector<StateField> fields;
};

/// One of the numbers that restore the methods' state of a parameter; several numbers if a method works per
/// row or per element.
struct ParameterStatistic {
  std::string name;  ///< "0.stabilize.m" for the first method of a chain
  std::vector<double> values;

  bool operator==(const ParameterStatistic&) const = default;
};

class ChainLink;

/// The parameters of a saved state of a transform or an optimizer, in the order of that state. Errors: those
/// of `GradientTransform::load` for bytes that are not such a state.
GRADSTAB_API Result<std::vector<Parameter>> saved_parameters(std::span<const std::byte> bytes);

/// What to do with a gradient that holds NaN or Inf. Under every policy but `pass_through` such a value
/// reaches neither the moments nor the optimizer.
enum class NonFinitePolicy : std::uint8_t {
  skip_tensor,   ///< that tensor's gradient becomes zero, its moments stay; the others are used
  skip_step,     ///< nothing is changed and the report asks the caller to skip the optimizer's step
  raise,         ///< nothing is changed and `update` returns an error that names the tensors
  pass_through,  ///< the behaviour of the released code: left as it is (stabilize) or multiplied (clipping)
};

inline constexpr std::string_view kNonFinitePolicyNames[] = {"skip_tensor", "skip_step", "raise",
                                                             "pass_through"};
static_assert(std::size(kNonFinitePolicyNames) ==
              static_cast<std::size_t>(NonFinitePolicy::pass_through) + 1);
constexpr std::span<const std::string_view> names_of(NonFinitePolicy) noexcept {
  return kNonFinitePolicyNames;
}

/// How a transform runs; what it computes is fixed when it is made.
struct RunOptions {
  NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor;
  std::string backend = {};                 ///< see find_backend
  std::shared_ptr<Executor> executor = {};  ///< none: the calling thread
};

/// A transform of gradients: one method, or a chain of them that measures the gradients once, and once more
/// after every element-wise method in it.
///
/// Made by a factory of transforms.hpp, bound to parameters by `init`, then called once per optimizer step.
/// Movable, not copyable. Not thread-safe: one step at a time.
class GRADSTAB_API GradientTransform {
 public:
  /// For implementers: a transform of one method. Users call a factory.
  explicit GradientTransform(std::unique_ptr<ChainLink> method);
  /// Carries an invalid setting to `init`, which reports it.
  explicit GradientTransform(Status error);
  GradientTransform(GradientTransform&&) noexcept;
  GradientTransform& operator=(GradientTransform&&) noexcept;
  ~GradientTransform();

  /// The first invalid setting of any link, which `init` would refuse as well.
  Status validate() const;

  /// Binds to parameters and allocates all state; a second call starts afresh.
  /// Errors: an invalid setting of any link, an unknown backend.
  Status init(ParameterSet parameters, RunOptions options = {});

  /// Transforms the gradients in place. `gradients` has one entry per parameter in the registered order; one
  /// without data is left out of this step. Allocates nothing.
  ///
  /// `step`, where given, must grow from call to call: a second call in the same step, which would update the
  /// moments twice, is then refused. Errors leave gradients and moments as they were: not initialised, wrong
  /// count, shape, dtype or device, a tensor that overlaps itself in memory, under policy `raise` a
  /// non-finite gradient, and an error of a user's own method (norm_method.hpp).
  Result<StepReport> update(std::span<const TensorRef> gradients, std::optional<std::int64_t> step = {});

  /// The same with the values of the parameters, in the same order and shapes and of any dtype, for methods
  /// that compare gradients with them (`adaptive_clip`); other methods do not look at them. They are only
  /// read. A method that needs them is refused without them.
  Result<StepReport> update(std::span<const TensorRef> gradients, std::span<const TensorRef> parameters,
                            std::optional<std::int64_t> step = {});

  /// Makes only the decision, for gradients that are measured and scaled elsewhere, such as sharded ones: one
  /// squared Euclidean norm per parameter, kNoGradient for one without a gradient. The factors are in the
  /// report; if it says `zeroed`, the gradient becomes zero whatever it holds. Errors: those of `update`, and
  /// a method that looks at more than the norms of whole tensors.
  Result<StepReport> decide(std::span<const double> squared_norms, std::optional<std::int64_t> step = {});

  /// Whether all methods use only the Euclidean norms of whole tensors, so that `decide` is
  /// possible.
  bool sees_norms_alone() const noexcept;

  /// Whether a method asks for the parameters.
  bool needs_parameters() const noexcept;

  /// What the last update saw, under policy `raise` also if it returned `non_finite`, and also if a user's
  /// own method failed. Without tensors if it was refused for another reason; every tensor absent before the
  /// first one.
  const StepReport& report() const noexcept;

  /// The parameters given to init.
  const ParameterSet& parameters() const noexcept;

  /// "chain(clip_by_global_norm, stabilize)"
  std::string name() const;

  /// The name of the backend in use; empty before init.
  std::string_view backend_name() const noexcept;

  /// The state of the methods, in the order of the chain. Its names live as long as the library. Throws Error
  /// if a user's own method fails.
  std::vector<MethodState> state() const;

  /// All state as bytes (versioned, checksummed, keyed by parameter name; see docs/state-format.md).
  Result<std::vector<std::byte>> save() const;

  /// Restores what `save` wrote, into a transform made and initialised with the same methods, settings and
  /// parameters; the order of the parameters may differ. `names`, unless empty, are the names here of the
  /// saved parameters, in the order of `saved_parameters`. An error leaves the state as it was.
  Status load(std::span<const std::byte> bytes, std::span<const std::string> names = {});

  /// Continues after parameters were added: state of the names that stay is kept, and new names start afresh.
  /// So do the positions in `fresh`, whose names now stand for other parameters, perhaps of other shapes.
  Status rebind(ParameterSet parameters, std::span<const std::size_t> fresh = {});

  /// The methods' state of one parameter, complete and exact, for checkpoints that keep state parameter by
  /// parameter: "updates" (the number of them), and for each method in the chain entries such as
  /// "0.stabilize.m", with "0.stabilize.settings", a checksum of its settings. What several parameters share
  /// (the statistics of a group, or of the model) is repeated for each of them.
  Result<std::vector<ParameterStatistic>> statistics(std::size_t index) const;

  /// Restores what `statistics` gave, one list per parameter in the registered order; a parameter whose list
  /// is empty is not changed. Errors, after which the state is as it was: other methods, other settings,
  /// another number of values, values that no run leaves behind.
  Status set_statistics(std::span<const std::vector<ParameterStatistic>> of_parameters);

 private:
  GRADSTAB_API friend GradientTransform chain_of(std::vector<GradientTransform> links);
  friend class Optimizer;
  friend struct TransformAccess;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gradstab
