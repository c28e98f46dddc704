// The program that has LibTorch, which stands beside this one.
#pragma once

#include <string>

namespace gradstab::cli {

/// Its path. Also sets, for it and all that is started from here, how long LibTorch's idle threads spin.
std::string training_program();

}  // namespace gradstab::cli
