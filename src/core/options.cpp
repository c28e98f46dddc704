#include "gradstab/options.hpp"

#include <cmath>

#include "core/text.hpp"

namespace gradstab {
namespace {

Status out_of_range(const char* name, const char* range, double value) {
  return {StatusCode::invalid_argument, detail::concat(name, " must be ", range, ", got ", value)};
}

bool is_decay(double value) {
  return value >= 0.0 && value < 1.0;
}  // false for NaN

}  // namespace

Status StabilizerOptions::validate() const {
  if (!is_decay(gamma1)) return out_of_range("gamma1", "in [0, 1)", gamma1);
  if (!is_decay(gamma2)) return out_of_range("gamma2", "in [0, 1)", gamma2);
  if (!(epsilon >= 0.0) || std::isinf(epsilon))
    return out_of_range("epsilon", "finite and at least 0", epsilon);
  if (!(spike_ratio > 0.0)) return out_of_range("spike_ratio", "above 0", spike_ratio);
  if (robust_kappa != 0.0 && (!(robust_kappa > 1.0) || std::isinf(robust_kappa)))
    return out_of_range("robust_kappa", "0 (off) or finite and above 1", robust_kappa);
  return {};
}

}  // namespace gradstab
