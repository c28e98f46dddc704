// NormTransform: one link of a chain, a rule from norms to factors.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "core/segments.hpp"
#include "core/state_codec.hpp"
#include "gradstab/parameter_set.hpp"
#include "gradstab/report.hpp"

namespace gradstab {

/// Which norms of the raw gradient a rule asks for beside the Euclidean one, which is always measured.
struct NormNeeds {
  bool max_abs = false;
};

/// The parameters of a state that is being loaded.
struct SavedParameters {
  std::span<const std::ptrdiff_t> position;  ///< where the i-th saved tensor stands now; -1 if it is gone
  std::span<const std::size_t> rows;         ///< how many rows it has
  bool same;                                 ///< they are those of today, perhaps in another order
};

/// A norm-based method. It sees norms and multiplies factors; it never sees memory. The norms are those of
/// segments: of whole tensors, or of their rows if any link of the chain works per row.
class NormTransform {
 public:
  virtual ~NormTransform() = default;

  virtual std::string_view name() const noexcept = 0;

  /// False if no factor depends on more than one tensor: a gradient can then be scaled before the next one is
  /// measured, while it is still in cache.
  virtual bool needs_all_tensors() const noexcept { return false; }

  /// Whether this link tells the rows of a tensor apart.
  virtual bool needs_rows() const noexcept { return false; }

  virtual NormNeeds needs() const noexcept { return {}; }

  virtual Status validate() const { return {}; }

  /// Fresh state for these parameters. Errors leave the link unusable until the next bind.
  virtual Status bind(const ParameterSet& parameters, const Segments& segments) = 0;

  /// Multiplies `factor` of segments [first, first + reports.size()), which are those of whole tensors.
  /// `max_abs` is parallel to `reports`, empty unless asked for. A link that needs all tensors gets them in
  /// one call. Segments that are absent, or that the non-finite policy has set aside, are left alone.
  virtual void decide(std::size_t first, std::span<TensorReport> reports,
                      std::span<const double> max_abs) noexcept = 0;

  /// Settings that must agree between the writer and the reader of a state, and the state itself.
  virtual void save_settings(SettingsWriter&) const {}
  virtual void save_state(ByteWriter&) const {}
  virtual Status load_state(ByteReader&, const SavedParameters&) { return {}; }
};

}  // namespace gradstab
