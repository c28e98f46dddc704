// The device that a run's setting names.
#pragma once

#include <torch/torch.h>

#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// "cpu", "cuda" or "cuda:N". Errors: a LibTorch without CUDA, no device, not so many.
Result<torch::Device> device_named(const std::string& name);

/// What the driver calls it: "NVIDIA H100 80GB HBM3"; empty where it does not say.
std::string device_model(const torch::Device& device);

}  // namespace gradstab::lab
