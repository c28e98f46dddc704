// Every method of this library by the name it has in recorded cases.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "gradstab/transforms.hpp"
#include "lab/replay/recorded_settings.hpp"

namespace gradstab::lab {

/// A transform alone, or an optimizer with its transforms in front.
struct ReplayedMethod {
  std::optional<GradientTransform> transform;
  std::optional<Optimizer> optimizer;
  NonFinitePolicy nonfinite = NonFinitePolicy::skip_tensor;
  bool writes_gradients = false;  ///< the optimizer's transforms work on single elements, in place
  /// Called with the number of each step before it: schedules. May be empty.
  std::function<void(Optimizer&, std::int64_t)> before_step = {};
};

/// Names with a line on each, in the order of the documents.
struct MethodName {
  std::string name;
  std::string summary;
};
const std::vector<MethodName>& replayed_methods();

/// Error: an unknown name, with the known ones.
Status check_method(std::string_view name);

/// The setting compat: robust, unless it says released.
Result<Compat> read_compat(RecordedSettings& settings);

/// Makes a method with the settings of a case. `wide`: the arithmetic is float64, for settings that differ by
/// it. Errors: an unknown name, with the known ones; a setting of the wrong type or out of range.
Result<ReplayedMethod> make_replayed_method(std::string_view name, RecordedSettings& settings, bool wide);

}  // namespace gradstab::lab
