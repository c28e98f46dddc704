// Shared objects of the lab itself, which bring in a foreign library when it is first needed.
#pragma once

#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The address of `symbol` in the module that was built as `built`, or in the one of that name which stands
/// in lib/gradstab beside the program's folder, where the program is installed. `flags` are those of dlopen.
/// The module stays loaded. Errors: failed_precondition, with the words of the loader.
Result<void*> module_symbol(std::string_view built, const char* symbol, int flags);

}  // namespace gradstab::lab
