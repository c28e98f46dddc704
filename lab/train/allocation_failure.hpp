// LibTorch's errors in our words.
#pragma once

#include <exception>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What an exception out of LibTorch, or std::bad_alloc, says: that memory ran out, with the bytes that were
/// asked for where it names them; otherwise its first line, without the place in LibTorch's source.
Status status_of(const std::exception& error);

}  // namespace gradstab::lab
