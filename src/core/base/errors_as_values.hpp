// Methods of somebody else's fail where nothing of the library's does: there, Error is thrown and becomes a
// value again at the public function.
#pragma once

#include "gradstab/status.hpp"

namespace gradstab {

/// What ask() returns, a Status or a Result; an Error that it throws, as a Status.
template <class Ask>
auto errors_as_values(Ask ask) -> decltype(ask()) {
  try {
    return ask();
  } catch (const Error& error) {
    return Status(error.code(), error.what());
  }
}

}  // namespace gradstab
