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
std::string& message_of(const Handle* handle) noexcept {
  thread_local std::string without_handle;
  return handle != nullptr ? handle->error : without_handle;
}

void keep(const Handle* handle, std::string_view message) noexcept {
  std::string& kept = message_of(handle);
  try {
    kept.assign(message);
  } catch (const std::bad_alloc&) {
    kept.assign("out of memory");  // short enough to need none
  }
}

gradstab_status out_of_memory(const Handle* handle) noexcept {
  keep(handle, "out of memory");
  return GRADSTAB_OUT_OF_MEMORY;
}

}  // namespace

gradstab_status finish(const Handle* handle, const Status& status) noexcept {
  keep(handle, status.message());
  return static_cast<gradstab_status>(status.code());
}

gradstab_status finish_exception(const Handle* handle) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return out_of_memory(handle);
  } catch (const std::length_error&) {  // more than a container could ever hold
    return out_of_memory(handle);
  } catch (const Error& error) {
    keep(handle, error.what());
    return static_cast<gradstab_status>(error.code());
  } catch (const std::exception& error) {
    keep(handle, error.what());
  } catch (...) {
    keep(handle, "unknown error");
  }
  return GRADSTAB_INTERNAL_ERROR;
}

const char* last_error(const Handle* handle) noexcept {
  return message_of(handle).c_str();
}

}  // namespace gradstab::c

const char* gradstab_last_error(const gradstab_transform* transform) {
  return gradstab::c::last_error(transform);
}

const char* gradstab_optimizer_last_error(const gradstab_optimizer* optimizer) {
  return gradstab::c::last_error(optimizer);
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
