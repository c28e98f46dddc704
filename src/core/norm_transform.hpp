// NormTransform: one link of a chain, a rule from norms to factors.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "core/state_codec.hpp"
#include "gradstab/parameter_set.hpp"
#include "gradstab/report.hpp"

namespace gradstab {

/// Which norms of the raw gradient a rule asks for beside the Euclidean one, which is always measured.
struct NormNeeds {
  bool max_abs = false;
};

/// A norm-based method. It sees norms and multiplies factors; it never sees memory. Tensors that are absent,
/// or that the non-finite policy has set aside, are to be left alone: `acts_on` tells.
class NormTransform {
 public:
  virtual ~NormTransform() = default;

  virtual std::string_view name() const noexcept = 0;

  /// False if each tensor's factor depends on that tensor alone: its gradient can then be scaled before the
  /// next one is measured, while it is still in cache.
  virtual bool needs_all_tensors() const noexcept { return false; }

  virtual NormNeeds needs() const noexcept { return {}; }

  virtual Status validate() const { return {}; }

  /// Fresh state for this many tensors.
  virtual void reset(std::size_t tensor_count) = 0;

  /// Multiplies `factor` of tensors [first, first + reports.size()). `max_abs` is parallel to `reports`,
  /// empty unless asked for. A link that needs all tensors gets them in one call.
  virtual void decide(std::size_t first, std::span<TensorReport> reports,
                      std::span<const double> max_abs) noexcept = 0;

  /// Settings that must agree between the writer and the reader of a state, and the state itself.
  virtual void save_settings(SettingsWriter&) const {}
  virtual void save_state(ByteWriter&) const {}

  /// Reads `saved_count` tensors' state; `position[i]` is where the i-th saved tensor stands now, or -1 if it
  /// is gone.
  virtual Status load_state(ByteReader&, std::span<const std::ptrdiff_t>) { return {}; }
};

}  // namespace gradstab
