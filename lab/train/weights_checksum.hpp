// Weights as a short text.
#pragma once

#include <torch/torch.h>

#include <string>

namespace gradstab::lab {

/// Identifies weights exactly, buffers included: equal runs have equal checksums. Eight hexadecimal digits.
std::string weights_checksum(const torch::nn::Module& model);

}  // namespace gradstab::lab
