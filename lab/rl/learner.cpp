#include "lab/rl/learner.hpp"

#include <cmath>
#include <string>

#include "lab/support/permutation.hpp"

namespace gradstab::lab::rl {
namespace {

using torch::Tensor;

constexpr double kReturnEpsilon = 1e-8;

std::vector<double> as_vector(const Tensor& tensor) {
  const Tensor flat = tensor.to(torch::kDouble).contiguous().view({-1});
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace

Tensor as_tensor(std::vector<float>& numbers, at::IntArrayRef sizes) {
  return torch::from_blob(numbers.data(), sizes, torch::kFloat);
}

Tensor as_tensor(std::vector<double>& numbers) {
  return torch::from_blob(numbers.data(), {static_cast<std::int64_t>(numbers.size())}, torch::kDouble);
}

// LibTorch has no tensors over constant memory.
Tensor as_tensor(const std::vector<float>& numbers, at::IntArrayRef sizes) {
  return as_tensor(const_cast<std::vector<float>&>(numbers), sizes);
}

Tensor as_tensor(const std::vector<double>& numbers) {
  return as_tensor(const_cast<std::vector<double>&>(numbers));
}

Learner::Learner(const RolloutShape& shape, const AdvantageRule& rule, std::int64_t batch)
    : rollout_(shape), rule_(rule), batch_(batch) {
  for (Tensor* tensor : {&log_densities_, &advantages_, &targets_, &values_})
    *tensor = torch::zeros({shape.samples()}, torch::kFloat);
}

Minibatch Learner::whole() {
  const RolloutShape& shape = rollout_.shape;
  return {as_tensor(rollout_.observations, {shape.samples(), shape.observation_size}),
          as_tensor(rollout_.actions, {shape.samples(), shape.action_size}),
          log_densities_,
          advantages_,
          targets_,
          values_};
}

void Learner::begin_collect(const ActorCritic& model) {
  const torch::NoGradGuard no_grad;
  const Minibatch all = whole();
  log_densities_ = log_densities(model->actor().forward(all.observations), model->log_std(), all.actions);
  order_.reset();
}

void Learner::begin_pass(const ActorCritic& model) {
  const torch::NoGradGuard no_grad;
  values_ = model->critic().forward(whole().observations).view({-1});
  const std::int64_t ends = rollout_.end_count();
  const Tensor end_values =
      model->critic().forward(as_tensor(rollout_.ends, {ends, rollout_.shape.observation_size})).view({-1});
  const double deviation = std::sqrt(return_moments_.variance[0] + kReturnEpsilon);
  std::vector<double> values = as_vector(values_), after = as_vector(end_values);
  for (double& value : values) value *= deviation;
  for (double& value : after) value *= deviation;
  const std::vector<double> found = rl::advantages(rollout_, values, after, rule_);
  float* const advantages = advantages_.data_ptr<float>();
  float* const targets = targets_.data_ptr<float>();
  std::vector<double>& returns = values;
  for (std::size_t i = 0; i < found.size(); ++i) {
    returns[i] += found[i];
    advantages[i] = static_cast<float>(found[i]);
    targets[i] = static_cast<float>(returns[i] / deviation);
  }
  return_moments_.merge(returns);
  order_.reset();
}

void Learner::put_in_order(std::uint64_t key) {
  const auto samples = static_cast<std::uint64_t>(rollout_.shape.samples());
  Tensor order = torch::empty({rollout_.shape.samples()}, torch::kLong);
  auto* const places = order.data_ptr<std::int64_t>();
  for (std::uint64_t i = 0; i < samples; ++i)
    places[i] = static_cast<std::int64_t>(permuted_index(i, samples, key));
  const Minibatch all = whole();
  const auto ordered = [&](const Tensor& tensor) { return tensor.index_select(0, order); };
  ordered_ = {ordered(all.observations), ordered(all.actions), ordered(all.log_densities),
              ordered(all.advantages),   ordered(all.targets), ordered(all.values)};
  order_ = key;
}

Minibatch Learner::minibatch(std::uint64_t key, std::int64_t number) {
  if (order_ != key) put_in_order(key);
  const auto part = [&](const Tensor& tensor) { return tensor.narrow(0, number * batch_, batch_); };
  return {part(ordered_.observations), part(ordered_.actions), part(ordered_.log_densities),
          part(ordered_.advantages),   part(ordered_.targets), part(ordered_.values)};
}

namespace {

/// Calls visit(name, tensor) for everything that is a tensor, over the memory of a learner's parts, which may
/// be constant where visit only reads.
template <class Rollout, class RunningMoments, class Visit>
Status for_each_tensor(Rollout& rollout, RunningMoments& returns, Visit visit) {
  const RolloutShape& shape = rollout.shape;
  GRADSTAB_RETURN_IF_ERROR(visit("rollout_observations",
                                 as_tensor(rollout.observations, {shape.samples(), shape.observation_size})));
  GRADSTAB_RETURN_IF_ERROR(
      visit("rollout_actions", as_tensor(rollout.actions, {shape.samples(), shape.action_size})));
  GRADSTAB_RETURN_IF_ERROR(visit("rollout_rewards", as_tensor(rollout.rewards)));
  GRADSTAB_RETURN_IF_ERROR(
      visit("rollout_ends", as_tensor(rollout.ends, {rollout.end_count(), shape.observation_size})));
  GRADSTAB_RETURN_IF_ERROR(visit("return_mean", as_tensor(returns.mean)));
  return visit("return_variance", as_tensor(returns.variance));
}

constexpr const char* kFlags = "rollout_flags";
constexpr const char* kReturnCount = "return_count";

}  // namespace

Status Learner::save(StateWriter& state) const {
  GRADSTAB_RETURN_IF_ERROR(
      for_each_tensor(rollout_, return_moments_,
                      [&](const char* name, const Tensor& tensor) { return state.add(name, tensor); }));
  GRADSTAB_RETURN_IF_ERROR(state.add("log_densities", log_densities_));
  GRADSTAB_RETURN_IF_ERROR(state.add("advantages", advantages_));
  GRADSTAB_RETURN_IF_ERROR(state.add("targets", targets_));
  GRADSTAB_RETURN_IF_ERROR(state.add("values", values_));
  std::vector<std::byte> flags;
  for (const auto* list : {&rollout_.terminated, &rollout_.truncated})
    for (const char flag : *list) flags.push_back(static_cast<std::byte>(flag));
  state.add_bytes(kFlags, std::move(flags));
  state.values()[kReturnCount] = return_moments_.count;
  return {};
}

Status Learner::load(StateReader& state) {
  const auto flags = state.bytes(kFlags);
  if (!flags) return flags.status();
  const std::size_t samples = rollout_.rewards.size();
  if (flags->size() != 2 * samples)
    return {StatusCode::shape_mismatch, std::string(kFlags) + " must have " + std::to_string(2 * samples) +
                                            " bytes, got " + std::to_string(flags->size())};
  for (std::size_t i = 0; i < samples; ++i) {
    rollout_.terminated[i] = static_cast<char>((*flags)[i]);
    rollout_.truncated[i] = static_cast<char>((*flags)[samples + i]);
  }
  rollout_.ends.resize(static_cast<std::size_t>(rollout_.end_count() * rollout_.shape.observation_size));
  const JsonReader values = state.values();
  return_moments_.count = values[kReturnCount].whole(0);
  GRADSTAB_RETURN_IF_ERROR(values.status());
  GRADSTAB_RETURN_IF_ERROR(
      for_each_tensor(rollout_, return_moments_,
                      [&](const char* name, const Tensor& tensor) { return state.expect(name, tensor); }));
  GRADSTAB_RETURN_IF_ERROR(state.expect("log_densities", log_densities_));
  GRADSTAB_RETURN_IF_ERROR(state.expect("advantages", advantages_));
  GRADSTAB_RETURN_IF_ERROR(state.expect("targets", targets_));
  order_.reset();
  return state.expect("values", values_);
}

}  // namespace gradstab::lab::rl
