// NormMethod: a method of your own that is based on norms. The library measures, chains, shards, updates,
// reports and saves; the method decides.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "gradstab/export.hpp"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

/// What a method asks for beside the Euclidean norm of each unit, which is always there.
struct NormMethodNeeds {
  Units units = {};       ///< what has a norm and a factor of its own; by default every tensor
  bool all_units = true;  ///< off: decides on some units at a time as well, as in a step per parameter
  bool max_abs = false;   ///< `UnitStep::max_abs`. Needs the gradients themselves, as rows do: not possible
                          ///< with sharded gradients or on a device
  bool parameter_norms = false;  ///< `UnitStep::parameter_norm`. The same holds
};

/// One unit in one step: what was measured, and what the method decides.
struct UnitStep {
  std::size_t unit = 0;         ///< its index, from 0; of a tensor, its position
  double norm = 0.0;            ///< Euclidean norm of its gradient, with the factors of the methods in front
  double max_abs = 0.0;         ///< its largest absolute value, likewise, if asked for
  double parameter_norm = 0.0;  ///< Euclidean norm of its parameters, if asked for
  bool finite = true;           ///< false: a part of it held NaN or Inf and counts as zero
  bool spike = false;           ///< set by the method: a spike, for the report
  /// Set by the method: what the gradient of this unit is multiplied by, at least 0.
  double factor = std::numeric_limits<double>::quiet_NaN();
};

/// A setting of a method. States are loaded only where they agree.
struct NormMethodSetting {
  std::string name;
  std::variant<double, std::string> value;
};

/// Numbers with a name that a method remembers; any number of them.
using MethodValues = ParameterStatistic;

/// A method that is based on norms. If a subclass throws or returns an error, the step ends with an error of
/// that message behind the method's name. Gradients, parameters and the state of all methods, this one
/// included, are then as before the step.
class GRADSTAB_API NormMethod {
 public:
  NormMethod() = default;
  NormMethod(const NormMethod&) = delete;
  NormMethod& operator=(const NormMethod&) = delete;
  virtual ~NormMethod();

  /// Lower-case letters, digits and '_'; not the name of a method of the library. State is saved under it.
  /// Called once, as are needs, settings and version.
  virtual std::string name() const = 0;
  virtual NormMethodNeeds needs() const { return {}; }
  virtual std::vector<NormMethodSetting> settings() const { return {}; }

  /// Starts afresh with units 0 to `count` - 1.
  virtual void reset(std::size_t count) = 0;

  /// Sets the factor of each of these units, which come in growing order. Units without a gradient are left
  /// out, and so are those without any finite part, which the non-finite policy handles.
  virtual Status decide(std::span<UnitStep> units) = 0;

  /// The state that belongs to no unit, with the same names in the same order at all times. The library also
  /// saves and loads in every step, to undo one that fails.
  virtual std::vector<MethodValues> save() const { return {}; }
  /// Restores what `save` gave. `version` is that of the method that saved it, at most the present one. If it
  /// is the present one, the names are right; the number of values and the values have not been checked.
  virtual Status load(std::span<const MethodValues> values, std::int32_t version);

  /// The same for one unit, under names that `save` does not have.
  virtual std::vector<MethodValues> save_unit(std::size_t) const { return {}; }
  virtual Status load_unit(std::size_t unit, std::span<const MethodValues> values, std::int32_t version);

  /// The version of what is saved; at least 1. A state of a later version is refused.
  virtual std::int32_t version() const { return 1; }
};

/// A transform of that method. It fails in `init` if the method has no proper name, or stands behind an
/// element-wise method in a chain, which would already have changed the gradients when this one fails.
GRADSTAB_API GradientTransform norm_method(std::unique_ptr<NormMethod> method);

}  // namespace gradstab
