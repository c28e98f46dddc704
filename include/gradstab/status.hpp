// Errors as values: Status, Result<T>, and the exception one step away.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "gradstab/export.hpp"

namespace gradstab {

/// What kind of thing went wrong. The message of a Status says which value and what was expected.
enum class StatusCode {
  ok = 0,
  invalid_argument,     ///< a setting is outside its range
  shape_mismatch,       ///< tensors or state do not belong to the registered parameters
  unsupported,          ///< a dtype, layout, device or combination that is not implemented
  failed_precondition,  ///< called in the wrong order, for example `update` before `init`
  non_finite,           ///< a gradient holds NaN or Inf and the policy is `raise`
  corrupt_data,         ///< truncated, damaged or foreign bytes
  version_mismatch,     ///< the data was written by a newer or unknown format version
  io_error,             ///< the operating system refused
};

/// The lower-case name of a code, as it appears in messages: "invalid_argument".
GRADSTAB_API std::string_view to_string(StatusCode code) noexcept;

/// Success, or a code with a one-line message.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const noexcept { return code_ == StatusCode::ok; }
  StatusCode code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

  /// Throws gradstab::Error unless ok.
  void check() const;

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
};

/// Thrown by `Status::check` and `Result::value` only; the library itself returns values.
class GRADSTAB_API Error : public std::runtime_error {
 public:
  explicit Error(const Status& status) : std::runtime_error(status.message()), code_(status.code()) {}
  StatusCode code() const noexcept { return code_; }

 private:
  StatusCode code_;
};

inline void Status::check() const {
  if (!ok()) throw Error(*this);
}

/// A value, or the Status that says why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return ok(); }
  const Status& status() const noexcept { return status_; }

  /// The value; throws gradstab::Error when there is none.
  T& value() & { return status_.check(), *value_; }
  const T& value() const& { return status_.check(), *value_; }
  T value() && { return status_.check(), std::move(*value_); }

  /// Unchecked access: only after ok().
  T& operator*() & noexcept { return *value_; }
  const T& operator*() const& noexcept { return *value_; }
  T&& operator*() && noexcept { return std::move(*value_); }
  T* operator->() noexcept { return &*value_; }
  const T* operator->() const noexcept { return &*value_; }

 private:
  Status status_;
  std::optional<T> value_;
};

/// Returns the Status of `expression` from the enclosing function unless it is ok.
#define GRADSTAB_RETURN_IF_ERROR(expression)                                                              \
  do {                                                                                                    \
    if (::gradstab::Status returned_status = (expression); !returned_status.ok()) return returned_status; \
  } while (false)

}  // namespace gradstab
