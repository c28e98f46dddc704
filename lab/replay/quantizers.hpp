// Recorded values through fake_quantize, and recorded linear layers through both directions with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/replay/methods.hpp"
#include "lab/replay/replay.hpp"

namespace gradstab::lab {

/// fp4_e1m2, fp4_e2m1 and int4.
const std::vector<MethodName>& quantizer_methods();
bool is_quantizer(std::string_view method);

/// A case as text. One with `input` gets "out64", "code", "scale64" and, for INT4 weights, "zero"; one of a
/// linear layer, with `x`, `weight`, `bias` and `grad_out`, gets "y64" and the gradients "dx64", "dw64" and
/// "db64", passed straight through; 32 in place of 64 for float32. `hyper`: an object.
///
/// What a case is recorded from is told by its settings: INT4 with `topk` or `stochastic` are activations,
/// other INT4 weights (`operand` overrides). Under compat=released, E1M2 without a `grid` of its own is as
/// the authors' code has it. Errors: as of `replay`.
Result<std::string> replay_quantizer(const Json& recorded, const Json& hyper, const std::string& where,
                                     const std::string& method, const ReplayOptions& options);

}  // namespace gradstab::lab
