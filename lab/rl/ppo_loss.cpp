#include "lab/rl/ppo_loss.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "lab/nn/kernel_node.hpp"

namespace gradstab::lab::rl {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr std::size_t kTensorsOfNetwork = 6;  // three weights and biases
const double kHalfLogTwoPi = 0.5 * std::log(2.0 * std::numbers::pi);

/// What backward needs of a network's forward pass.
struct Activations {
  Tensor first, second, output;
};

/// `weights` points at weight, bias, weight, bias, weight, bias.
Activations run_network(const Tensor& x, const Tensor* weights) {
  Activations found;
  found.first = at::addmm(weights[1], x, weights[0].t()).tanh_();
  found.second = at::addmm(weights[3], found.first, weights[2].t()).tanh_();
  found.output = at::addmm(weights[5], found.second, weights[4].t());
  return found;
}

template <class Scalar>
Tensor column_sums(const Tensor& matrix) {
  const std::int64_t rows = matrix.size(0), columns = matrix.size(1);
  Tensor sums = torch::zeros({columns}, matrix.options());
  const Scalar* from = matrix.data_ptr<Scalar>();
  Scalar* const to = sums.data_ptr<Scalar>();
  for (std::int64_t row = 0; row < rows; ++row, from += columns)
    for (std::int64_t column = 0; column < columns; ++column) to[column] += from[column];
  return sums;
}

/// Turns the gradient of tanh's values into that of its arguments, in place.
template <class Scalar>
void through_tanh(const Tensor& values, Tensor& gradient) {
  const Scalar* const y = values.data_ptr<Scalar>();
  Scalar* const g = gradient.data_ptr<Scalar>();
  for (std::int64_t i = 0; i < values.numel(); ++i) g[i] *= Scalar{1} - y[i] * y[i];
}

/// Appends the gradients of the six tensors to `gradients`.
template <class Scalar>
void backward_network(const Tensor& x, const Activations& activations, const Tensor* weights,
                      const Tensor& output_gradient, tensor_list& gradients) {
  Tensor second = at::mm(output_gradient, weights[4]);
  through_tanh<Scalar>(activations.second, second);
  Tensor first = at::mm(second, weights[2]);
  through_tanh<Scalar>(activations.first, first);
  gradients.push_back(at::mm(first.t(), x));
  gradients.push_back(column_sums<Scalar>(first));
  gradients.push_back(at::mm(second.t(), activations.first));
  gradients.push_back(column_sums<Scalar>(second));
  gradients.push_back(at::mm(output_gradient.t(), activations.second));
  gradients.push_back(column_sums<Scalar>(output_gradient));
}

/// The policy's part of the loss; replaces `means` by its gradient and fills that of log_std.
template <class Scalar>
double policy_loss(const Minibatch& batch, const Tensor& log_std, const PpoRule& rule, Tensor& means,
                   Tensor& log_std_gradient) {
  const std::int64_t rows = means.size(0), columns = means.size(1);
  const Scalar* const actions = batch.actions.data_ptr<Scalar>();
  const Scalar* const old = batch.log_densities.data_ptr<Scalar>();
  const Scalar* const advantages = batch.advantages.data_ptr<Scalar>();
  const Scalar* const logs = log_std.data_ptr<Scalar>();
  Scalar* const mean = means.data_ptr<Scalar>();
  Scalar* const deviation_gradient = log_std_gradient.data_ptr<Scalar>();
  std::vector<Scalar> inverse(static_cast<std::size_t>(columns)), distance(static_cast<std::size_t>(columns));
  double entropy = 0.0;
  for (std::int64_t a = 0; a < columns; ++a) {
    inverse[static_cast<std::size_t>(a)] = std::exp(-logs[a]);
    entropy += static_cast<double>(logs[a]) + 0.5 + kHalfLogTwoPi;
    deviation_gradient[a] = static_cast<Scalar>(-rule.entropy_coefficient);
  }
  const auto low = static_cast<Scalar>(1.0 - rule.ratio_clip),
             high = static_cast<Scalar>(1.0 + rule.ratio_clip);
  double sum = 0.0;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t at = row * columns;
    Scalar density = 0;
    for (std::int64_t a = 0; a < columns; ++a) {
      const auto place = static_cast<std::size_t>(a);
      distance[place] = (actions[at + a] - mean[at + a]) * inverse[place];
      density -=
          Scalar(0.5) * distance[place] * distance[place] + logs[a] + static_cast<Scalar>(kHalfLogTwoPi);
    }
    const Scalar ratio = std::exp(density - old[row]);
    const Scalar plain = ratio * advantages[row];
    const Scalar clipped = std::clamp(ratio, low, high) * advantages[row];
    // Beyond the clip the smaller of both is constant; within, both are the same. NaN goes on.
    const bool constant = clipped < plain;
    sum -= static_cast<double>(constant ? clipped : plain);
    const Scalar slope = constant ? Scalar{0} : -plain / static_cast<Scalar>(rows);
    for (std::int64_t a = 0; a < columns; ++a) {
      const auto place = static_cast<std::size_t>(a);
      mean[at + a] = slope * distance[place] * inverse[place];
      deviation_gradient[a] += slope * (distance[place] * distance[place] - Scalar{1});
    }
  }
  return sum / static_cast<double>(rows) - rule.entropy_coefficient * entropy;
}

/// The critic's part of the loss; replaces `values` by its gradient.
template <class Scalar>
double value_loss(const Minibatch& batch, const PpoRule& rule, Tensor& values) {
  const std::int64_t rows = values.size(0);
  const Scalar* const targets = batch.targets.data_ptr<Scalar>();
  const Scalar* const before = batch.values.data_ptr<Scalar>();
  const auto clip = static_cast<Scalar>(rule.value_clip);
  const auto scale = static_cast<Scalar>(2.0 * rule.value_coefficient / static_cast<double>(rows));
  Scalar* const value = values.data_ptr<Scalar>();
  double sum = 0.0;
  for (std::int64_t row = 0; row < rows; ++row) {
    Scalar error = value[row] - targets[row];
    Scalar slope = 1;
    const Scalar moved = value[row] - before[row];
    // Within the clip both errors are the same.
    if (clip > 0 && std::abs(moved) > clip) {
      const Scalar clipped = before[row] + std::copysign(clip, moved) - targets[row];
      if (clipped * clipped > error * error) {
        error = clipped;
        slope = 0;
      }
    }
    sum += static_cast<double>(error * error);
    value[row] = slope * scale * error;
  }
  return rule.value_coefficient * sum / static_cast<double>(rows);
}

struct PpoLoss : torch::autograd::Function<PpoLoss> {
  static Tensor forward(AutogradContext* context, at::TensorList parameters, const Minibatch& batch,
                        const PpoRule& rule) {
    const Tensor* const actor = parameters.data();
    const Tensor& log_std = parameters[kTensorsOfNetwork];
    const Tensor* const critic = actor + kTensorsOfNetwork + 1;
    Activations acting = run_network(batch.observations, actor);
    Activations judging = run_network(batch.observations, critic);
    tensor_list gradients;
    gradients.reserve(parameters.size());
    double loss = 0.0;
    nn::with_scalar(log_std, [&](auto scalar) {
      using Scalar = decltype(scalar);
      Tensor log_std_gradient = torch::empty_like(log_std);
      loss = policy_loss<Scalar>(batch, log_std, rule, acting.output, log_std_gradient) +
             value_loss<Scalar>(batch, rule, judging.output);
      backward_network<Scalar>(batch.observations, acting, actor, acting.output, gradients);
      gradients.push_back(std::move(log_std_gradient));
      backward_network<Scalar>(batch.observations, judging, critic, judging.output, gradients);
    });
    context->saved_data["gradients"] = std::move(gradients);
    return torch::full({}, loss, log_std.options());
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& output) {
    nn::require_first_derivative("the loss of PPO");
    tensor_list gradients = context->saved_data["gradients"].toTensorVector();
    context->saved_data.clear();  // so that whoever takes the gradients has them alone and need not copy them
    if (const auto factor = output[0].item<double>(); factor != 1.0)
      for (Tensor& gradient : gradients) gradient.mul_(factor);
    gradients.resize(gradients.size() + 2);
    return gradients;
  }
};

void check_batch(const ActorCritic& model, const Minibatch& batch) {
  const auto rows = batch.observations.size(0);
  const auto type = model->log_std().scalar_type();
  const auto check = [&](const char* name, const Tensor& tensor, at::IntArrayRef sizes) {
    TORCH_CHECK(tensor.sizes() == sizes && tensor.scalar_type() == type && tensor.is_contiguous() &&
                    tensor.device().is_cpu(),
                name, " of a minibatch must be contiguous, on the CPU and ", sizes, " of ", type, ", got ",
                tensor.sizes(), " of ", tensor.scalar_type());
  };
  check("observations", batch.observations, {rows, model->actor().weights[0].size(1)});
  check("actions", batch.actions, {rows, model->log_std().size(0)});
  check("log_densities", batch.log_densities, {rows});
  check("advantages", batch.advantages, {rows});
  check("targets", batch.targets, {rows});
  check("values", batch.values, {rows});
}

}  // namespace

Tensor log_densities(const Tensor& means, const Tensor& log_std, const Tensor& actions) {
  const torch::NoGradGuard no_grad;
  const Tensor distance = (actions - means) / log_std.exp();
  return -(0.5 * distance.square() + log_std + kHalfLogTwoPi).sum(-1);
}

Tensor ppo_loss(const ActorCritic& model, const Minibatch& batch, const PpoRule& rule) {
  check_batch(model, batch);
  const std::vector<Tensor> parameters = model->ordered_parameters();
  return PpoLoss::apply(at::TensorList(parameters), batch, rule);
}

Tensor composed::ppo_loss(const ActorCritic& model, const Minibatch& batch, const PpoRule& rule) {
  const Tensor& log_std = model->log_std();
  const Tensor distance = (batch.actions - model->actor().forward(batch.observations)) / log_std.exp();
  const Tensor density = -(0.5 * distance.square() + log_std + kHalfLogTwoPi).sum(-1);
  const Tensor ratio = (density - batch.log_densities).exp();
  const Tensor clipped = ratio.clamp(1.0 - rule.ratio_clip, 1.0 + rule.ratio_clip);
  const Tensor policy = -torch::min(ratio * batch.advantages, clipped * batch.advantages).mean();
  const Tensor value = model->critic().forward(batch.observations).squeeze(-1);
  Tensor error = (batch.targets - value).square();
  if (rule.value_clip > 0.0) {
    const Tensor kept = batch.values + (value - batch.values).clamp(-rule.value_clip, rule.value_clip);
    error = torch::max(error, (batch.targets - kept).square());
  }
  const Tensor entropy = (log_std + 0.5 + kHalfLogTwoPi).sum();
  return policy + rule.value_coefficient * error.mean() - rule.entropy_coefficient * entropy;
}

}  // namespace gradstab::lab::rl
