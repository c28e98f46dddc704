#include "lab/rl/actor_critic.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <numeric>
#include <string>
#include <utility>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::rl {
namespace {

constexpr double kGain = std::numbers::sqrt2;
constexpr double kLastActorGain = 0.01;  // times that
constexpr double kLogStd = -0.5;

/// torch::nn::Linear would do, but it first draws an initialisation of its own from the global generator.
struct WeightAndBias : torch::nn::Module {
  WeightAndBias(torch::Tensor the_weight, std::int64_t outputs) {
    weight = register_parameter("weight", std::move(the_weight));
    bias = register_parameter("bias", torch::zeros({outputs}));
  }
  torch::Tensor weight, bias;
};

/// Makes the vectors orthonormal, twice, since once leaves rounding errors that grow with their number.
void orthonormalize(std::vector<std::vector<double>>& vectors) {
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  for (std::size_t i = 0; i < vectors.size(); ++i) {
    std::vector<double>& vector = vectors[i];
    for (int round = 0; round < 2; ++round) {
      for (std::size_t j = 0; j < i; ++j) {
        const double part = dot(vector, vectors[j]);
        for (std::size_t k = 0; k < vector.size(); ++k) vector[k] -= part * vectors[j][k];
      }
    }
    const double norm = std::sqrt(dot(vector, vector));
    for (double& value : vector) value /= norm;
  }
}

}  // namespace

torch::Tensor orthogonal(std::int64_t rows, std::int64_t columns, double gain, std::uint64_t seed,
                         std::uint64_t place) {
  const nn::CounterKey key = nn::Draw{seed, 0}.key(place);
  const auto count = static_cast<std::size_t>(std::min(rows, columns));
  const auto length = static_cast<std::size_t>(std::max(rows, columns));
  std::vector<std::vector<double>> vectors(count, std::vector<double>(length));
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = 0; k < length; ++k) vectors[i][k] = nn::counter_normal(i * length + k, key);
  orthonormalize(vectors);
  torch::Tensor matrix = torch::empty({rows, columns}, torch::kFloat);
  float* const values = matrix.data_ptr<float>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      const auto [i, k] = rows <= columns ? std::pair(row, column) : std::pair(column, row);
      values[row * columns + column] =
          static_cast<float>(gain * vectors[static_cast<std::size_t>(i)][static_cast<std::size_t>(k)]);
    }
  }
  return matrix;
}

torch::Tensor Mlp::forward(const torch::Tensor& x) const {
  torch::Tensor y = torch::tanh(torch::linear(x, weights[0], biases[0]));
  y = torch::tanh(torch::linear(y, weights[1], biases[1]));
  return torch::linear(y, weights[2], biases[2]);
}

ActorCriticImpl::ActorCriticImpl(const ActorCriticShape& shape, std::uint64_t seed) {
  std::uint64_t place = 0;
  const auto network = [&](const char* name, std::int64_t outputs, double last_gain) {
    const auto parent = register_module(name, std::make_shared<torch::nn::Module>());
    Mlp mlp;
    const std::array<std::int64_t, 4> sizes = {shape.observation_size, shape.width, shape.width, outputs};
    for (std::size_t i = 0; i < 3; ++i) {
      const double gain = i == 2 ? last_gain : kGain;
      const auto layer = parent->register_module(
          std::to_string(2 * i), std::make_shared<WeightAndBias>(
                                     orthogonal(sizes[i + 1], sizes[i], gain, seed, place++), sizes[i + 1]));
      mlp.weights[i] = layer->weight;
      mlp.biases[i] = layer->bias;
    }
    return mlp;
  };
  actor_ = network("actor", shape.action_size, kGain * kLastActorGain);
  log_std_ = register_parameter("log_std", torch::full({shape.action_size}, kLogStd));
  critic_ = network("critic", 1, kGain);
}

std::vector<torch::Tensor> ActorCriticImpl::ordered_parameters() const {
  std::vector<torch::Tensor> list;
  const auto add = [&](const Mlp& mlp) {
    for (std::size_t i = 0; i < 3; ++i) {
      list.push_back(mlp.weights[i]);
      list.push_back(mlp.biases[i]);
    }
  };
  add(actor_);
  list.push_back(log_std_);
  add(critic_);
  return list;
}

std::int64_t ActorCriticImpl::parameter_count() const {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : ordered_parameters()) count += parameter.numel();
  return count;
}

}  // namespace gradstab::lab::rl
