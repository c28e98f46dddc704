#include "errors.hpp"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

namespace gradstab::c {
namespace {

constexpr bool same(StatusCode code, gradstab_status status) {
  return static_cast<gradstab_status>(code) == status;
}
static_assert(same(StatusCode::ok, GRADSTAB_OK) &&
                  same(StatusCode::invalid_argument, GRADSTAB_INVALID_ARGUMENT) &&
                  same(StatusCode::shape_mismatch, GRADSTAB_SHAPE_MISMATCH) &&
                  same(StatusCode::unsupported, GRADSTAB_UNSUPPORTED) &&
                  same(StatusCode::failed_precondition, GRADSTAB_FAILED_PRECONDITION) &&
                  same(StatusCode::non_finite, GRADSTAB_NON_FINITE) &&
                  same(StatusCode::corrupt_data, GRADSTAB_CORRUPT_DATA) &&
                  same(StatusCode::version_mismatch, GRADSTAB_VERSION_MISMATCH) &&
                  same(StatusCode::io_error, GRADSTAB_IO_ERROR),
              "the codes of the C interface are those of StatusCode");

/// Where gradstab_last_error looks for the message of a call.
std::string& message_of(const gradstab_transform* transform) noexcept {
  thread_local std::string without_transform;
  return transform != nullptr ? transform->error : without_transform;
}

void keep(const gradstab_transform* transform, std::string_view message) noexcept {
  std::string& kept = message_of(transform);
  try {
    kept.assign(message);
  } catch (const std::bad_alloc&) {
    kept.assign("out of memory");  // short enough to need none
  }
}

gradstab_status out_of_memory(const gradstab_transform* transform) noexcept {
  keep(transform, "out of memory");
  return GRADSTAB_OUT_OF_MEMORY;
}

}  // namespace

gradstab_status finish(const gradstab_transform* transform, const Status& status) noexcept {
  keep(transform, status.message());
  return static_cast<gradstab_status>(status.code());
}

gradstab_status finish_exception(const gradstab_transform* transform) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return out_of_memory(transform);
  } catch (const std::length_error&) {  // more than a container could ever hold
    return out_of_memory(transform);
  } catch (const Error& error) {
    keep(transform, error.what());
    return static_cast<gradstab_status>(error.code());
  } catch (const std::exception& error) {
    keep(transform, error.what());
  } catch (...) {
    keep(transform, "unknown error");
  }
  return GRADSTAB_INTERNAL_ERROR;
}

}  // namespace gradstab::c

const char* gradstab_last_error(const gradstab_transform* transform) {
  return gradstab::c::message_of(transform).c_str();
}

const char* gradstab_status_name(gradstab_status status) {
  switch (status) {
    case GRADSTAB_OUT_OF_MEMORY:
      return "out_of_memory";
    case GRADSTAB_INTERNAL_ERROR:
      return "internal_error";
    default:
      break;
  }
  if (status < GRADSTAB_OK || status > GRADSTAB_IO_ERROR) return "unknown";
  // A literal, so it ends in a zero.
  return gradstab::to_string(static_cast<gradstab::StatusCode>(status)).data();
}
