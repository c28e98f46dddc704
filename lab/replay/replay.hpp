// Recorded gradients through a method of this library, step by step.
//
// The format, that of tests/golden/README.md, is for comparing implementations: whoever writes such a file
// from another one can see where the two part.
#pragma once

#include <map>
#include <string>

#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

struct ReplayOptions {
  std::string method;                            ///< empty: the one that the file names
  std::map<std::string, std::string> overrides;  ///< settings that go before those of a case
  DType dtype = DType::float64;                  ///< of gradients, parameters and states: float32 or float64
  std::string only_case;                         ///< empty: all of them
  std::string backend;                           ///< see find_backend
};

/// The text of a file in the same format: every case with its settings, tensors and gradients, and per step
/// "out64" (transforms) or "param64", "elem64" (optimizers) and "state64"; 32 in place of 64 for float32.
/// Numbers of the input stand for the nearest float32, as the format says. Errors: what is wrong with the
/// recording, naming case and step; an unknown method or setting; what the method itself refuses.
Result<std::string> replay(const Json& recording, const ReplayOptions& options);

}  // namespace gradstab::lab
