// The program that has LibTorch, which stands beside this one.
#pragma once

#include <string>

#include "gradstab/status.hpp"

namespace gradstab::cli {

/// Its path. Also sets, for it and all that is started from here, how long LibTorch's idle threads spin.
std::string training_program();

/// Whether runs can be given `--device` with this value; asks that program, which takes a second. The error
/// is its reason: "LibTorch found no CUDA device".
Status check_device(const std::string& device);

}  // namespace gradstab::cli
