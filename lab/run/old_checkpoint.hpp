// Checkpoints of format version 1: a header and LibTorch's archives of weights and optimizer.
#pragma once

#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/run/checkpoint.hpp"

namespace gradstab::lab {

/// The payload of such a checkpoint as the one of today; its views point into `payload`. Nothing in the
/// archives is run. Errors say what is wrong with it; those of the header begin with `header_name`.
Result<Checkpoint> read_payload_of_archives(std::string_view payload, const std::string& header_name);

}  // namespace gradstab::lab
