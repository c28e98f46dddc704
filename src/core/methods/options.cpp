#include "gradstab/options.hpp"

#include "core/base/option_checks.hpp"

namespace gradstab {

Status StabilizerOptions::validate() const {
  return detail::check_ranges(*this);
}

}  // namespace gradstab
