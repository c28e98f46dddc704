#include "gradstab/status.hpp"

namespace gradstab {

std::string_view to_string(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::ok:
      return "ok";
    case StatusCode::invalid_argument:
      return "invalid_argument";
    case StatusCode::shape_mismatch:
      return "shape_mismatch";
    case StatusCode::unsupported:
      return "unsupported";
    case StatusCode::failed_precondition:
      return "failed_precondition";
    case StatusCode::non_finite:
      return "non_finite";
    case StatusCode::corrupt_data:
      return "corrupt_data";
    case StatusCode::version_mismatch:
      return "version_mismatch";
    case StatusCode::io_error:
      return "io_error";
  }
  return "unknown";
}

}  // namespace gradstab
