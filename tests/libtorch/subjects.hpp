// What the tests of optimizers are run on.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

namespace gradstab::testing {

/// Parameters of assorted shapes, the same for the same seed.
inline std::vector<torch::Tensor> parameters(std::uint64_t seed, torch::ScalarType dtype = torch::kFloat32) {
  torch::manual_seed(seed);
  std::vector<torch::Tensor> list;
  for (const std::vector<std::int64_t>& sizes :
       std::vector<std::vector<std::int64_t>>{{}, {1}, {7}, {33, 5}, {4, 3, 3, 3}, {130, 17}}) {
    list.push_back(torch::randn(sizes, torch::dtype(torch::kFloat64)).to(dtype).requires_grad_());
  }
  // Dense, but not in row-major order.
  list.push_back(torch::randn({6, 4, 5, 3}, torch::dtype(torch::kFloat64))
                     .to(dtype)
                     .contiguous(torch::MemoryFormat::ChannelsLast)
                     .requires_grad_());
  return list;
}

/// The gradients of one step, of about `unit`: some missing, some with other strides, some large.
inline void set_gradients(std::vector<torch::Tensor>& list, std::uint64_t step, double unit = 1.0) {
  torch::manual_seed(1000 + step);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const double size = step % 17 == 16 ? 1e3 * unit : unit;
    torch::Tensor gradient =
        (torch::randn(list[i].sizes(), torch::dtype(torch::kFloat64)) * size).to(list[i].scalar_type());
    if ((step + i) % 5 == 4 && gradient.dim() == 2) gradient = gradient.t().contiguous().t();
    const bool missing = (step + 2 * i) % 7 == 6;
    list[i].mutable_grad() = missing ? torch::Tensor() : gradient;
  }
}

/// Largest difference relative to the largest value of each tensor.
inline double distance(const std::vector<torch::Tensor>& a, const std::vector<torch::Tensor>& b) {
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double scale = b[i].abs().max().item<double>();
    worst = std::max(worst, (a[i] - b[i]).abs().max().item<double>() / scale);
  }
  return worst;
}

/// What an action throws says.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace gradstab::testing
