// The links of a chain. NormTransform: a rule from norms to factors.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/state_codec.hpp"
#include "core/step/segments.hpp"
#include "gradstab/decide.hpp"
#include "gradstab/options.hpp"
#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// Which norms a link asks for beside the Euclidean one of the gradient, which is always measured.
struct NormNeeds {
  bool max_abs = false;          ///< largest absolute value of each segment
  double power = 0.0;            ///< above 0: the p-norm of each segment with this p
  bool parameter_norms = false;  ///< Euclidean norm of each segment of the parameters
};

/// What was asked for, parallel to the reports; each empty unless asked for. Those of the gradient are, as
/// `raw_norm`, without the factors.
struct Measures {
  std::span<const double> max_abs = {};
  std::span<const double> power_norm = {};
  std::span<const double> parameter_norm = {};
};

/// The parameters of a state that is being loaded.
struct SavedParameters {
  std::span<const std::ptrdiff_t> position;  ///< where the i-th saved tensor stands now; -1 if it is gone
  std::span<const std::size_t> rows;         ///< how many rows it has
  bool same;                                 ///< they are those of today, perhaps in another order
  std::span<const std::string> names = {};   ///< under which it was saved
};

class ElementTransform;
class NormTransform;

/// How many values there are under a name.
using CountOfValues = std::function<std::size_t(std::string_view)>;

/// What every link has. Each is either a NormTransform or an ElementTransform.
class ChainLink {
 public:
  virtual ~ChainLink() = default;

  virtual std::string_view name() const noexcept = 0;

  virtual NormTransform* as_norm_transform() noexcept { return nullptr; }
  virtual ElementTransform* as_element_transform() noexcept { return nullptr; }

  /// False if nothing of a tensor depends on another one: a gradient can then be transformed before the next
  /// one is measured, while it is still in cache.
  virtual bool needs_all_tensors() const noexcept { return false; }

  /// Whether this link tells the rows of a tensor apart.
  virtual bool needs_rows() const noexcept { return false; }

  virtual NormNeeds needs() const noexcept { return {}; }

  virtual Status validate() const { return {}; }

  /// Fresh state for these parameters. Errors leave the link unusable until the next bind.
  virtual Status bind(const ParameterSet& parameters, const Segments& segments) = 0;

  /// What is remembered, for GradientTransform::state.
  virtual std::vector<StateField> state() const { return {}; }

  /// Settings that must agree between the writer and the reader of a state, and the state itself: of these
  /// tensors, and whatever is shared with others.
  virtual void save_settings(SettingsWriter&) const {}
  virtual void save_state(ByteWriter&, IndexRange) const {}
  virtual Status load_state(ByteReader&, const SavedParameters&) { return {}; }
  /// `save_state` to put other numbers into, of which there are so many; only a method that remembers more as
  /// it goes has to look.
  virtual void save_room(ByteWriter& writer, IndexRange tensors, const CountOfValues&) const {
    save_state(writer, tensors);
  }

  /// Whether its decisions may fail. A step is then decided on as a whole before anything is written.
  virtual bool may_fail() const noexcept { return false; }

  /// Whether it sees nothing but the Euclidean norms of whole tensors, so that it can decide on tensors that
  /// are in parts or elsewhere.
  bool sees_norms_alone() noexcept {
    const NormNeeds asked = needs();
    return as_norm_transform() != nullptr && !needs_rows() && !asked.max_abs && asked.power == 0.0 &&
           !asked.parameter_norms;
  }
};

/// What a device takes over from `stabilize`, to decide where the gradients are.
struct StabilizerLink {
  const StabilizerOptions* options = nullptr;  ///< none: the link is another method
  Granularity granularity = Granularity::tensor;
  std::span<NormMoments> moments = {};  ///< per unit
};

/// A norm-based method. It sees norms and multiplies factors; it never sees memory. The norms are those of
/// segments: of whole tensors, or of their rows if any link of the chain works per row. Behind an
/// element-wise link, `raw_norm` is the norm of what that link has left, and the factors start again at 1.
class NormTransform : public ChainLink {
 public:
  NormTransform* as_norm_transform() noexcept final { return this; }

  /// Multiplies `factor` of segments [first, first + reports.size()), which are those of whole tensors. A
  /// link that needs all tensors gets them in one call. Segments that are absent, or that the non-finite
  /// policy has set aside, are left alone.
  virtual void decide(std::size_t first, std::span<TensorReport> reports,
                      const Measures& measures) noexcept = 0;

  /// How the last decision ended, if it may fail; ok afterwards.
  virtual Status take_failure() noexcept { return {}; }

  virtual StabilizerLink stabilizer() noexcept { return {}; }
};

}  // namespace gradstab
