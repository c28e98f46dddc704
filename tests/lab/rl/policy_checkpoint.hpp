// A checkpoint of the task `rl` with a policy in it, as the trainer writes one.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "lab/rl/policy.hpp"
#include "lab/run/checkpoint.hpp"

namespace gradstab::lab::rl {

/// Holds the memory that its checkpoint points into.
class PolicyCheckpoint {
 public:
  explicit PolicyCheckpoint(const Policy& policy) {
    checkpoint_.header = {{"task", "rl"}, {"settings", {{"environment", policy.environment}}}};
    add("task/observation_mean", DType::float64, {size(policy.mean)}, policy.mean);
    add("task/observation_variance", DType::float64, {size(policy.variance)}, policy.variance);
    add("weights/log_std", DType::float32, {size(policy.log_deviation)}, policy.log_deviation);
    for (std::size_t k = 0; k < policy.layers.size(); ++k) {
      const LinearLayer& layer = policy.layers[k];
      const std::string name = "weights/actor." + std::to_string(2 * k);
      add(name + ".weight", DType::float32, {layer.outputs, layer.inputs}, layer.weight);
      add(name + ".bias", DType::float32, {layer.outputs}, layer.bias);
    }
  }
  PolicyCheckpoint(const PolicyCheckpoint&) = delete;
  PolicyCheckpoint& operator=(const PolicyCheckpoint&) = delete;

  Checkpoint& checkpoint() { return checkpoint_; }

 private:
  template <class T>
  static std::int64_t size(const std::vector<T>& numbers) {
    return static_cast<std::int64_t>(numbers.size());
  }
  template <class T>
  void add(const std::string& name, DType dtype, std::vector<std::int64_t> sizes,
           const std::vector<T>& numbers) {
    memory_.emplace_back(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
    checkpoint_.tensors[name] = {.dtype = dtype, .sizes = std::move(sizes), .bytes = memory_.back()};
  }

  std::deque<std::string> memory_;
  Checkpoint checkpoint_;
};

/// A network of one layer, which moves the robot's legs to and fro by its height and its speeds.
inline Policy swinging_policy(const EnvironmentInfo& info) {
  Policy policy;
  policy.environment = info.name;
  const auto observed = static_cast<std::size_t>(info.observation_size);
  policy.mean.assign(observed, 0.0);
  policy.variance.assign(observed, 1.0);
  LinearLayer layer{.inputs = info.observation_size, .outputs = info.action_size, .weight = {}, .bias = {}};
  layer.bias.assign(static_cast<std::size_t>(info.action_size), 0.1F);
  for (std::size_t i = 0; i < observed * static_cast<std::size_t>(info.action_size); ++i)
    layer.weight.push_back(static_cast<float>((i * 7 % 11)) * 0.1F - 0.5F);
  policy.layers = {layer};
  policy.log_deviation.assign(static_cast<std::size_t>(info.action_size), -1.0F);
  return policy;
}

}  // namespace gradstab::lab::rl
