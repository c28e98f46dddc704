#include "lab/inspect/settings.hpp"

#include <fmt/format.h>

#include <cmath>

namespace gradstab::lab::inspect {

StabilizerOptions InspectSettings::published() const {
  StabilizerOptions options;
  options.gamma1 = gamma1;
  options.gamma2 = gamma2;
  return options;
}

StabilizerOptions InspectSettings::robust() const {
  StabilizerOptions options = published();
  options.robust_kappa = robust_kappa;
  return options;
}

double InspectSettings::holding_size() const {
  return std::sqrt(1.0 + 3.0 * memory());
}

Status InspectSettings::validate() const {
  if (!(robust_kappa > 1.0)) {
    return {StatusCode::invalid_argument,
            fmt::format("robust_kappa must be finite and above 1, got {}", robust_kappa)};
  }
  return robust().validate();
}

}  // namespace gradstab::lab::inspect
