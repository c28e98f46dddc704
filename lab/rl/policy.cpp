#include "lab/rl/policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lab/nn/counter_random.hpp"
#include "lab/run/checkpoint.hpp"

namespace gradstab::lab::rl {
namespace {

constexpr double kVarianceFloor = 1.1920929e-07;
constexpr double kMostNormalized = 10.0;
constexpr std::string_view kTaskPrefix = "task/";
constexpr std::string_view kTaskName = "rl";

Status corrupt(std::string message) {
  return {StatusCode::corrupt_data, std::move(message)};
}

/// The numbers of a tensor of type T, whatever its address.
template <class T>
std::vector<T> numbers_of(const StoredTensor& tensor) {
  std::vector<T> numbers(tensor.bytes.size() / sizeof(T));
  std::memcpy(numbers.data(), tensor.bytes.data(), numbers.size() * sizeof(T));
  return numbers;
}

/// Reads tensors of one checkpoint by name.
class Tensors {
 public:
  Tensors(const Checkpoint& checkpoint, const std::string& name) : checkpoint_(checkpoint), name_(name) {}

  bool has(const std::string& key) const { return checkpoint_.tensors.contains(key); }

  Result<const StoredTensor*> find(const std::string& key, DType dtype, std::size_t rank) const {
    const auto found = checkpoint_.tensors.find(key);
    if (found == checkpoint_.tensors.end()) return corrupt(fmt::format("{} has no tensor '{}'", name_, key));
    const StoredTensor& tensor = found->second;
    if (tensor.dtype != dtype || tensor.sizes.size() != rank) {
      return corrupt(fmt::format("{}: tensor '{}' is {}, expected {} with {} dimension(s)", name_, key,
                                 tensor.type(), to_string(dtype), rank));
    }
    return &tensor;
  }

  template <class T>
  Status read(const std::string& key, std::vector<T>& numbers) const {
    constexpr DType kDType = sizeof(T) == sizeof(double) ? DType::float64 : DType::float32;
    const auto tensor = find(key, kDType, 1);
    if (!tensor) return tensor.status();
    numbers = numbers_of<T>(**tensor);
    return {};
  }

  Result<LinearLayer> layer(const std::string& prefix) const {
    const auto weight = find(prefix + ".weight", DType::float32, 2);
    if (!weight) return weight.status();
    LinearLayer layer;
    constexpr std::int64_t kMost = 1 << 20;
    if ((*weight)->sizes[0] > kMost || (*weight)->sizes[1] > kMost)
      return corrupt(fmt::format("{}: tensor '{}.weight' is too large", name_, prefix));
    layer.outputs = static_cast<int>((*weight)->sizes[0]);
    layer.inputs = static_cast<int>((*weight)->sizes[1]);
    layer.weight = numbers_of<float>(**weight);
    GRADSTAB_RETURN_IF_ERROR(read(prefix + ".bias", layer.bias));
    return layer;
  }

 private:
  const Checkpoint& checkpoint_;
  const std::string& name_;
};

template <class T>
bool all_finite(const std::vector<T>& numbers) {
  return std::ranges::all_of(numbers, [](T number) { return std::isfinite(number); });
}

/// The network's output.
std::vector<double> mean_action(const Policy& policy, std::span<const double> observation) {
  std::vector<double> values(observation.size());
  for (std::size_t i = 0; i < observation.size(); ++i) {
    const double scaled = (observation[i] - policy.mean[i]) / std::sqrt(policy.variance[i] + kVarianceFloor);
    values[i] = std::clamp(scaled, -kMostNormalized, kMostNormalized);
  }
  for (std::size_t k = 0; k < policy.layers.size(); ++k) {
    const LinearLayer& layer = policy.layers[k];
    const auto inputs = static_cast<std::size_t>(layer.inputs);
    std::vector<double> next(layer.bias.begin(), layer.bias.end());
    for (std::size_t row = 0; row < next.size(); ++row) {
      for (std::size_t i = 0; i < inputs; ++i)
        next[row] += static_cast<double>(layer.weight[row * inputs + i]) * values[i];
      if (k + 1 < policy.layers.size()) next[row] = std::tanh(next[row]);
    }
    values = std::move(next);
  }
  return values;
}

double limited(double action) {
  return std::clamp(action, -1.0, 1.0);
}

}  // namespace

Status Policy::check(const EnvironmentInfo& info) const {
  const auto observed = static_cast<std::size_t>(info.observation_size);
  const auto acting = static_cast<std::size_t>(info.action_size);
  if (environment != info.name) {
    return {StatusCode::invalid_argument,
            fmt::format("the policy was trained in {}, not in {}", environment, info.name)};
  }
  if (mean.size() != observed || variance.size() != observed) {
    return corrupt(fmt::format("the moments are of {} and {} numbers; {} observes {}", mean.size(),
                               variance.size(), info.name, observed));
  }
  if (!all_finite(mean) ||
      !std::ranges::all_of(variance, [](double v) { return std::isfinite(v) && v >= 0; }))
    return corrupt(
        "the moments of observations are not valid: expected finite means and finite variances of at least "
        "0");
  if (layers.empty()) return corrupt("the policy has no layers");
  int inputs = info.observation_size;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const LinearLayer& layer = layers[k];
    const auto outputs = static_cast<std::size_t>(layer.outputs);
    if (layer.inputs != inputs || layer.bias.size() != outputs ||
        layer.weight.size() != outputs * static_cast<std::size_t>(layer.inputs)) {
      return corrupt(
          fmt::format("layer {} of the policy takes {} numbers, expected {}, and gives {} with {} biases", k,
                      layer.inputs, inputs, layer.outputs, layer.bias.size()));
    }
    if (!all_finite(layer.weight) || !all_finite(layer.bias))
      return {StatusCode::non_finite, fmt::format("layer {} of the policy holds NaN or Inf", k)};
    inputs = layer.outputs;
  }
  if (inputs != info.action_size || log_deviation.size() != acting) {
    return corrupt(fmt::format("the policy gives {} actions and {} deviations; {} takes {}", inputs,
                               log_deviation.size(), info.name, acting));
  }
  if (!all_finite(log_deviation)) return {StatusCode::non_finite, "the policy's deviations hold NaN or Inf"};
  return {};
}

void Policy::act(std::span<const double> observation, std::span<double> action) const {
  std::ranges::transform(mean_action(*this, observation), action.begin(), limited);
}

void Policy::sample(std::span<const double> observation, const EpisodeKey& key, std::int64_t step,
                    std::span<double> action) const {
  // Salted, so that the noise of actions is not that of the reset.
  constexpr std::uint64_t kActionSalt = 0x616374696f6eu;
  const nn::Draw draw{mix64(key.seed ^ kActionSalt), key.environment};
  const nn::CounterKey noise = draw.key(key.episode);
  const std::vector<double> means = mean_action(*this, observation);
  for (std::size_t i = 0; i < action.size(); ++i) {
    const std::uint64_t element = static_cast<std::uint64_t>(step) * action.size() + i;
    const double deviation = std::exp(static_cast<double>(log_deviation[i]));
    action[i] = limited(means[i] + deviation * nn::counter_normal(element, noise));
  }
}

Result<Policy> policy_of(const Checkpoint& checkpoint, const std::string& name) {
  const JsonReader header(checkpoint.header, name);
  const std::string task = header["task"].text_or("");
  if (task != kTaskName) {
    return Status(
        StatusCode::invalid_argument,
        fmt::format("{} is a checkpoint of the task '{}', expected one of '{}'", name, task, kTaskName));
  }
  Policy policy;
  const std::string environment = header["settings"][kEnvironmentKey].text();
  if (!header.status().ok()) return header.status();
  // As it was spelled when the run began; `check` says what is none of the names.
  const auto full_name = environment_name(environment);
  policy.environment = full_name ? *full_name : environment;
  const Tensors tensors(checkpoint, name);
  // Where an average is kept, it is what was scored.
  const std::string averaged(kAveragePrefix), state(kTaskPrefix);
  const std::string weights =
      tensors.has(averaged + kLogDeviationName) ? averaged : std::string(kWeightPrefix);
  GRADSTAB_RETURN_IF_ERROR(tensors.read(state + kObservationMeanName, policy.mean));
  GRADSTAB_RETURN_IF_ERROR(tensors.read(state + kObservationVarianceName, policy.variance));
  GRADSTAB_RETURN_IF_ERROR(tensors.read(weights + kLogDeviationName, policy.log_deviation));
  // Activations take every second number.
  for (int place = 0;; place += 2) {
    const std::string prefix = fmt::format("{}{}{}", weights, kActorPrefix, place);
    if (place > 0 && !tensors.has(prefix + ".weight")) break;
    auto layer = tensors.layer(prefix);
    if (!layer) return layer.status();
    policy.layers.push_back(std::move(*layer));
  }
  return policy;
}

Result<Policy> read_policy(const std::filesystem::path& path) {
  const auto checkpoint = read_checkpoint(path);
  if (!checkpoint) return checkpoint.status();
  return policy_of(*checkpoint, fmt::format("'{}'", path.string()));
}

}  // namespace gradstab::lab::rl
