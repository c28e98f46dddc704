// Windows as tensors.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <span>

#include "lab/forecast/score.hpp"
#include "lab/forecast/windows.hpp"

namespace gradstab::lab::forecast {

/// Some windows: inputs [windows, channels, look_back] and targets [windows, channels, horizon], f32 on the
/// CPU.
struct Batch {
  torch::Tensor inputs, targets;
};

/// The windows of these numbers.
Batch gather(const Windows& windows, std::span<const std::int64_t> indices);

/// The windows `first`, `first` + `stride` and so on, `count` at most.
Batch gather_from(const Windows& windows, std::int64_t first, std::int64_t count, std::int64_t stride = 1);

/// What a forecaster makes of inputs: [windows, channels, horizon].
using Forecaster = std::function<torch::Tensor(const torch::Tensor& inputs)>;

/// The score of `count` windows, which are the first of every `stride`, `batch` at a time, without gradients.
/// The size of a batch does not change it.
Score score(const Forecaster& forecaster, const Windows& windows, std::int64_t count, std::int64_t batch,
            std::int64_t stride = 1);

}  // namespace gradstab::lab::forecast
