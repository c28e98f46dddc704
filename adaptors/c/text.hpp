// The one line of an error, in the words of the C interface.
#pragma once

#include "files/text.hpp"

namespace gradstab::c {

using files::error;
using files::invalid;

}  // namespace gradstab::c
