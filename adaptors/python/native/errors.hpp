// How an error of the library reaches Python: as the text of a RuntimeError, with the code in front, which
// gradient_stabilizer/_native.py takes off again and turns into the type of exception.
#pragma once

#include <utility>

#include "gradstab/status.hpp"

namespace gradstab::python {

/// Throws what is described above.
[[noreturn]] void raise(const Status& status);

inline void check(const Status& status) {
  if (!status.ok()) raise(status);
}

/// The value, or `raise`.
template <class T>
T value(Result<T> result) {
  if (!result.ok()) raise(result.status());
  return std::move(*result);
}

}  // namespace gradstab::python
