#include "lab/rl/rl_task.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "lab/rl/actor_critic.hpp"
#include "lab/rl/collector.hpp"
#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/evaluation.hpp"
#include "lab/rl/learner.hpp"
#include "lab/rl/policy.hpp"
#include "lab/rl/ppo_loss.hpp"
#include "lab/rl/rl_exhibits.hpp"
#include "lab/rl/rl_kind.hpp"
#include "lab/rl/rl_settings.hpp"
#include "lab/support/hashing.hpp"

namespace gradstab::lab::rl {
namespace {

/// What is drawn. Each has numbers of its own.
enum class Place : std::uint64_t { action, order, evaluation_start, evaluation_action, random_action };

/// The key of a place that is the same over the whole run.
std::uint64_t key_of(std::uint64_t seed, Place place) {
  return mix64(mix64(seed) ^ static_cast<std::uint64_t>(place));
}

int threads_of(const TrainOptions& options) {
  return options.threads > 0 ? options.threads
                             : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

ActorCriticShape model_shape(const EnvironmentInfo& environment, const RlSettings& settings) {
  return {environment.observation_size, environment.action_size, settings.width};
}

RolloutShape rollout_shape(const EnvironmentInfo& environment, const RlSettings& settings) {
  return {settings.horizon, settings.environments, environment.observation_size, environment.action_size};
}

class RlTask final : public Task {
 public:
  /// `environment` is one of those that the settings name.
  RlTask(const TrainOptions& options, std::unique_ptr<Environment> environment, std::string engine)
      : info_(rl_kind().info()),
        engine_(std::move(engine)),
        settings_(rl_settings(options)),
        environment_(environment->info()),
        seed_(options.seed),
        accumulation_(static_cast<std::uint64_t>(options.accumulation)),
        updates_per_epoch_(updates_per_collect(options)),
        batches_per_pass_(static_cast<std::uint64_t>(updates_per_pass(options) * options.accumulation)),
        batches_per_collect_(static_cast<std::uint64_t>(updates_per_collect(options) * options.accumulation)),
        model_(model_shape(environment_, settings_), options.seed),
        shown_(environment->another()),
        evaluation_(environment->another(), static_cast<int>(settings_.evaluation_episodes),
                    key_of(seed_, Place::evaluation_start), threads_of(options)),
        collector_(VectorEnvironment(std::move(environment), static_cast<int>(settings_.environments), seed_,
                                     threads_of(options))),
        learner_(rollout_shape(environment_, settings_), advantage_rule(settings_), options.batch) {
    const auto random = run_episodes(evaluation_, random_actions(key_of(seed_, Place::random_action)));
    info_.uninformed = random.value().mean_return;
    collector_.reset().check();
  }

  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return *model_; }
  std::int64_t updates_per_epoch() const noexcept override { return updates_per_epoch_; }
  std::int64_t updates_per_cycle() const noexcept override { return updates_per_epoch(); }

  void prepare(std::uint64_t index) override {
    if (index % batches_per_collect_ == 0) {
      collector_.collect(policy(), draws_of(Place::action, index / accumulation_), learner_.rollout())
          .check();
      learner_.begin_collect(model_);
    }
    if (index % batches_per_pass_ == 0) learner_.begin_pass(model_);
    done_ = index / accumulation_ + 1;
  }

  torch::Tensor training_loss(std::uint64_t index) override {
    const std::uint64_t pass = index / batches_per_pass_;
    const Minibatch batch = learner_.minibatch(mix64(key_of(seed_, Place::order) ^ pass),
                                               static_cast<std::int64_t>(index % batches_per_pass_));
    return ppo_loss(model_, batch,
                    {settings_.ratio_clip, settings_.value_clip, settings_.value_coefficient,
                     settings_.entropy_coefficient});
  }

  /// Those of a collect, spread over its micro-batches.
  std::int64_t samples(std::uint64_t index) const override {
    const auto collected = static_cast<std::uint64_t>(samples_per_collect(settings_));
    const auto until = [&](std::uint64_t i) { return i * collected / batches_per_collect_; };
    return static_cast<std::int64_t>(until(index + 1) - until(index));
  }

  Evaluation evaluate(Extent extent) override {
    const GaussianPolicy acting = policy();
    const nn::CounterKey key = draws_of(Place::evaluation_action, done_);
    std::vector<float> normalized, drawn;
    const auto found = run_episodes(
        evaluation_,
        [&](std::int64_t step, std::span<const double> observations, std::span<double> actions) -> Status {
          normalized.resize(observations.size());
          drawn.resize(actions.size());
          normalize(collector_.moments(), observations, normalized);
          GRADSTAB_RETURN_IF_ERROR(sample_actions(acting, normalized, step, key, drawn));
          clip_actions(drawn, actions);
          return {};
        });
    if (!found && found.status().code() == StatusCode::non_finite) return {{kNoValue, kNoValue, kNoValue}};
    Evaluation evaluation{{found.value().mean_return, found->deviation, found->mean_length}};
    if (extent == Extent::full)
      evaluation.exhibits =
          rl_exhibits(*shown_, torchless_policy(), {key_of(seed_, Place::evaluation_start), 0, 0}).value();
    return evaluation;
  }

  Status save(StateWriter& state) const override {
    RunningMoments moments = collector_.moments();
    std::vector<float> current = collector_.current();
    GRADSTAB_RETURN_IF_ERROR(state.add(kObservationMeanName, as_tensor(moments.mean).clone()));
    GRADSTAB_RETURN_IF_ERROR(state.add(kObservationVarianceName, as_tensor(moments.variance).clone()));
    GRADSTAB_RETURN_IF_ERROR(
        state.add(kCurrent, as_tensor(current, {static_cast<std::int64_t>(current.size())}).clone()));
    const std::string bytes = collector_.environments().save_bytes();
    const auto* const first = reinterpret_cast<const std::byte*>(bytes.data());
    state.add_bytes(kEnvironments, {first, first + bytes.size()});
    Json& values = state.values();
    values[kEnvironmentKey] = environment_.name;
    values[kObservationCount] = moments.count;
    values[kUpdates] = done_;
    return learner_.save(state);
  }

  Status load(StateReader& state) override {
    const JsonReader values = state.values();
    const std::string name = values[kEnvironmentKey].text();
    const std::int64_t count = values[kObservationCount].whole(0);
    const auto done = static_cast<std::uint64_t>(values[kUpdates].whole(0));
    GRADSTAB_RETURN_IF_ERROR(values.status());
    if (name != environment_.name)
      return {StatusCode::shape_mismatch,
              fmt::format("it was trained in {}, and not in {}", name, environment_.name)};
    const auto bytes = state.bytes(kEnvironments);
    if (!bytes) return bytes.status();
    GRADSTAB_RETURN_IF_ERROR(collector_.environments().restore_bytes(
        {reinterpret_cast<const char*>(bytes->data()), bytes->size()}));
    RunningMoments& moments = collector_.moments();
    moments.count = count;
    done_ = done;
    GRADSTAB_RETURN_IF_ERROR(state.expect(kObservationMeanName, as_tensor(moments.mean)));
    GRADSTAB_RETURN_IF_ERROR(state.expect(kObservationVarianceName, as_tensor(moments.variance)));
    std::vector<float>& current = collector_.current();
    GRADSTAB_RETURN_IF_ERROR(
        state.expect(kCurrent, as_tensor(current, {static_cast<std::int64_t>(current.size())})));
    return learner_.load(state);
  }

  std::string model_text() const override {
    return fmt::format("actor and critic for {}: {} parameters", environment_.name,
                       model_->parameter_count());
  }
  nlohmann::ordered_json describe_model() const override {
    return {{"name", "actor and critic"},
            {"environment", environment_.name},
            {"observation_size", environment_.observation_size},
            {"action_size", environment_.action_size},
            {"width", settings_.width},
            {"parameters", model_->parameter_count()}};
  }
  nlohmann::ordered_json describe_data() const override {
    return {{"source", environment_.name}, {"physics", engine_}};
  }

 private:
  static constexpr const char* kCurrent = "current_observations";
  static constexpr const char* kEnvironments = "environments";
  static constexpr const char* kObservationCount = "observation_count";
  static constexpr const char* kUpdates = "updates";

  /// Of a place at one update. Not those that the initial weights have, whose seed is the run's own.
  nn::CounterKey draws_of(Place place, std::uint64_t update) const noexcept {
    return nn::Draw{key_of(seed_, place), update}.key(0);
  }

  /// As the weights are now.
  GaussianPolicy policy() {
    const torch::NoGradGuard no_grad;
    const torch::Tensor deviation = model_->log_std().exp();
    return {[this](std::span<const float> observations, std::span<float> means) {
              const torch::NoGradGuard inside;
              std::vector<float> copy(observations.begin(), observations.end());
              const torch::Tensor found = model_->actor().forward(
                  as_tensor(copy, {static_cast<std::int64_t>(copy.size()) / environment_.observation_size,
                                   environment_.observation_size}));
              std::copy_n(found.data_ptr<float>(), means.size(), means.begin());
            },
            {deviation.data_ptr<float>(), deviation.data_ptr<float>() + deviation.numel()}};
  }

  /// The same as films of a checkpoint have it.
  Policy torchless_policy() const {
    const auto numbers = [](const torch::Tensor& tensor) {
      const torch::Tensor flat = tensor.detach().contiguous();
      return std::vector<float>(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
    };
    Policy policy;
    policy.environment = environment_.name;
    policy.mean = collector_.moments().mean;
    policy.variance = collector_.moments().variance;
    policy.log_deviation = numbers(model_->log_std());
    const Mlp& actor = model_->actor();
    for (std::size_t i = 0; i < actor.weights.size(); ++i) {
      policy.layers.push_back({static_cast<int>(actor.weights[i].size(1)),
                               static_cast<int>(actor.weights[i].size(0)), numbers(actor.weights[i]),
                               numbers(actor.biases[i])});
    }
    return policy;
  }

  TaskInfo info_;
  std::string engine_;  // what moves the environments
  RlSettings settings_;
  EnvironmentInfo environment_;
  std::uint64_t seed_;
  std::uint64_t accumulation_;
  std::int64_t updates_per_epoch_;
  std::uint64_t batches_per_pass_, batches_per_collect_;  // micro-batches
  ActorCritic model_;
  std::unique_ptr<Environment> shown_;  // of which exhibits are recorded
  VectorEnvironment evaluation_;
  Collector collector_;
  Learner learner_;
  std::uint64_t done_ = 0;  // updates, with the one that is going on
};

}  // namespace

std::unique_ptr<Task> make_rl_task_in(std::unique_ptr<Environment> environment, const TrainOptions& options,
                                      std::string engine) {
  at::set_num_threads(1);
  return std::make_unique<RlTask>(options, std::move(environment), std::move(engine));
}

Result<std::unique_ptr<Task>> make_rl_task(const TrainOptions& options, const PreparationProgress&) {
  auto environment = make_environment(rl_settings(options).environment);
  if (!environment) return environment.status();
  const auto mujoco = mujoco_module();
  if (!mujoco) return mujoco.status();
  return make_rl_task_in(*std::move(environment), options, "MuJoCo " + (*mujoco)->version());
}

}  // namespace gradstab::lab::rl
