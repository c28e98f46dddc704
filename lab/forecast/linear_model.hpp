// The best linear forecast, in closed form: what a network has to be compared with.
#pragma once

#include <torch/torch.h>

#include <utility>

#include "lab/forecast/score.hpp"
#include "lab/forecast/windows.hpp"

namespace gradstab::lab::forecast {

/// One linear map from the window to the horizon, shared by all channels, of windows that are centred on
/// their own mean: forecast = mean + (window - mean) weight^T. Since the map is linear, dividing the window
/// by its standard deviation and multiplying the forecast by it, as RevIN does, changes nothing but the
/// weight that a window has in the fit; here each has the weight that it has in the score.
class LinearModel {
 public:
  /// Minimizes the sum of squared errors over all windows plus `ridge` times (number of windows and channels)
  /// times the sum of squared weights, by the normal equations in double. Takes about 2 * count * channels *
  /// look_back * (look_back + horizon) operations. `ridge` is above 0, since centred windows do not span
  /// every direction; else c10::Error is thrown.
  static LinearModel fit(const Windows& training, double ridge = 1e-4);

  /// The forecast [..., horizon] of windows [..., look_back].
  torch::Tensor forecast(const torch::Tensor& windows) const;

  /// Over all windows.
  Score score(const Windows& windows) const;

  /// [horizon, look_back] in double.
  const torch::Tensor& weight() const noexcept { return weight_; }

 private:
  explicit LinearModel(torch::Tensor weight) : weight_(std::move(weight)) {}
  torch::Tensor weight_;
};

}  // namespace gradstab::lab::forecast
