#include "lab/train/optimizer_factory.hpp"

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "gradstab/libtorch_fused.hpp"
#include "lab/train/environment.hpp"
#include "lab/train/libtorch_state.hpp"
#include "lab/train/transform_factory.hpp"

namespace gradstab::lab {
namespace {

RunOptions run_options(const TrainOptions& options) {
  return {.nonfinite = nonfinite_policy(options)};
}

/// The weight decay of one group's settings, whichever optimizer's.
template <class Settings>
void scale_weight_decay(Settings& settings, double scale) {
  if constexpr (requires { settings.lion; })
    settings.lion.weight_decay *= scale;
  else if constexpr (requires { settings.mini; })
    settings.mini.weight_decay *= scale;
  else if constexpr (requires { settings.adam; })
    settings.adam.weight_decay *= scale;
  else if constexpr (requires { settings.spam; })
    settings.spam.weight_decay *= scale;
  else
    settings.weight_decay(settings.weight_decay() * scale);
}

/// Divides the one group that an optimizer begins with. Returns the scales of the learning rates. Throws
/// gradstab::Error for a name that no parameter has, or that is in two groups.
template <class Settings>
std::vector<double> divide(torch::optim::Optimizer& optimizer, const NamedParameters& named,
                           const std::vector<ParameterGroup>& groups) {
  if (groups.empty()) return {};
  const std::unique_ptr<torch::optim::OptimizerOptions> whole =
      optimizer.param_groups().front().options().clone();
  std::set<std::string> taken;
  std::vector<torch::optim::OptimizerParamGroup> divided;
  std::vector<double> scales;
  const auto add = [&](std::vector<torch::Tensor> parameters, double weight_decay_scale, double lr_scale) {
    if (parameters.empty()) return;
    divided.emplace_back(std::move(parameters), whole->clone());
    scale_weight_decay(static_cast<Settings&>(divided.back().options()), weight_decay_scale);
    scales.push_back(lr_scale);
  };
  for (const ParameterGroup& group : groups) {
    std::vector<torch::Tensor> parameters;
    for (const std::string& name : group.parameters) {
      const torch::Tensor* const parameter = named.find(name);
      if (parameter == nullptr || !taken.insert(name).second) {
        throw Error(Status(StatusCode::invalid_argument,
                           fmt::format("parameter group: '{}' is {}", name,
                                       parameter == nullptr ? "no parameter" : "in two groups")));
      }
      parameters.push_back(*parameter);
    }
    add(std::move(parameters), group.weight_decay_scale, group.lr_scale);
  }
  std::vector<torch::Tensor> rest;
  for (const auto& item : named)
    if (!taken.contains(item.key())) rest.push_back(item.value());
  add(std::move(rest), 1.0, 1.0);
  optimizer.param_groups() = std::move(divided);
  return scales;
}

/// What LibTorch keeps per parameter for its optimizers.
template <class Optimizer>
struct StateOf;
template <>
struct StateOf<torch::optim::SGD> {
  using Type = torch::optim::SGDParamState;
};
template <>
struct StateOf<torch::optim::Adam> {
  using Type = torch::optim::AdamParamState;
};
template <>
struct StateOf<torch::optim::AdamW> {
  using Type = torch::optim::AdamWParamState;
};

/// LibTorch's own optimizer behind the transform.
template <class Optimizer>
class LibTorchOptimizer final : public TrainingOptimizer {
 public:
  using State = typename StateOf<Optimizer>::Type;

  template <class Settings>
  LibTorchOptimizer(const TrainOptions& options, const torch::nn::Module& model,
                    const std::vector<ParameterGroup>& groups, const Settings& settings)
      : named_(model.named_parameters()),
        optimizer_(make_transform(options), run_options(options), named_, settings) {
    lr_scales_ = divide<Settings>(optimizer_, named_, groups);
  }

  torch::optim::Optimizer& optimizer() override { return optimizer_; }
  Status save(CheckpointFiller& filler) const override {
    filler.add_blob(kTransformBlob, optimizer_.save_transform_state());
    return save_libtorch_state<State>(optimizer_, named_, filler);
  }
  Status expect(const Checkpoint& checkpoint, CheckpointLoader& loader) override {
    const auto blob = blob_named(checkpoint, kTransformBlob);
    if (!blob) return blob.status();
    GRADSTAB_RETURN_IF_ERROR(loaded_.expect(named_, JsonReader(checkpoint.header, ""), loader));
    return loader.expect_nothing_else(kOptimizerPrefix);
  }
  void load(const Checkpoint& checkpoint) override {
    optimizer_.load_transform_state(blob_named(checkpoint, kTransformBlob).value());
    loaded_.adopt(optimizer_);
  }
  void before_backward(bool) override {}
  void step() override { optimizer_.step(); }
  const StepReport& report() const override { return optimizer_.report(); }
  const ParameterSet& parameters() const override { return optimizer_.registered_parameters(); }

 private:
  NamedParameters named_;
  Stabilized<Optimizer> optimizer_;
  LibTorchState<State> loaded_;
};

/// The library's own optimizer, stepping after backward or in it.
template <class Optimizer>
class LibraryOptimizer final : public TrainingOptimizer {
 public:
  template <class Settings>
  LibraryOptimizer(const TrainOptions& options, const torch::nn::Module& model,
                   const std::vector<ParameterGroup>& groups, const Settings& settings)
      : optimizer_(
            model.named_parameters(), settings,
            FusedSettings{.transform = make_transform(options), .run = {.run = run_options(options)}}) {
    lr_scales_ = divide<Settings>(optimizer_, model.named_parameters(), groups);
    if (!options.step_in_backward) return;
    return_freed_tensors_to_system();
    stepper_.emplace(optimizer_);
  }

  torch::optim::Optimizer& optimizer() override { return optimizer_; }
  Status save(CheckpointFiller& filler) const override {
    filler.add_blob(kOptimizerBlob, optimizer_.save_state());
    return {};
  }
  Status expect(const Checkpoint& checkpoint, CheckpointLoader& loader) override {
    const auto blob = blob_named(checkpoint, kOptimizerBlob);
    return blob ? loader.expect_nothing_else(kOptimizerPrefix) : blob.status();
  }
  void load(const Checkpoint& checkpoint) override {
    optimizer_.load_state(blob_named(checkpoint, kOptimizerBlob).value());
  }
  void before_backward(bool last) override {
    if (stepper_) stepper_->hold(!last);
  }
  void step() override {
    if (!stepper_) {
      optimizer_.step();
      return;
    }
    report_of_backward_ = &stepper_->take_report();
  }
  const StepReport& report() const override {
    return report_of_backward_ != nullptr ? *report_of_backward_ : optimizer_.report();
  }
  const ParameterSet& parameters() const override { return optimizer_.registered_parameters(); }

 private:
  Optimizer optimizer_;
  std::optional<BackwardStepper> stepper_;
  const StepReport* report_of_backward_ = nullptr;
};

template <class Plain, class Fused, class Settings>
std::unique_ptr<TrainingOptimizer> of_either_engine(const TrainOptions& options,
                                                    const torch::nn::Module& model,
                                                    const std::vector<ParameterGroup>& groups,
                                                    const Settings& settings) {
  if (options.optimizer_engine == "libtorch")
    return std::make_unique<LibTorchOptimizer<Plain>>(options, model, groups, settings);
  return std::make_unique<LibraryOptimizer<Fused>>(options, model, groups, settings);
}

}  // namespace

void TrainingOptimizer::set_learning_rate(double lr) {
  auto& groups = optimizer().param_groups();
  for (std::size_t i = 0; i < groups.size(); ++i)
    groups[i].options().set_lr(i < lr_scales_.size() ? lr * lr_scales_[i] : lr);
}

std::unique_ptr<TrainingOptimizer> make_optimizer(const TrainOptions& options, const torch::nn::Module& model,
                                                  const std::vector<ParameterGroup>& groups,
                                                  const std::optional<AttentionHeads>& attention) {
  const auto betas = std::make_tuple(options.beta1, options.beta2);
  if (options.optimizer == "sgd") {
    return of_either_engine<torch::optim::SGD, FusedSGD>(
        options, model, groups,
        torch::optim::SGDOptions(options.lr).momentum(options.beta1).weight_decay(options.weight_decay));
  }
  if (options.optimizer == "adam") {
    return of_either_engine<torch::optim::Adam, FusedAdam>(options, model, groups,
                                                           torch::optim::AdamOptions(options.lr)
                                                               .betas(betas)
                                                               .eps(options.adam_epsilon)
                                                               .weight_decay(options.weight_decay));
  }
  const auto with_moments = [&](auto settings) {
    settings.lr = options.lr;
    settings.beta1 = options.beta1;
    settings.beta2 = options.beta2;
    settings.weight_decay = options.weight_decay;
    if constexpr (requires { settings.epsilon; }) settings.epsilon = options.adam_epsilon;
    return settings;
  };
  if (options.optimizer == "lion") {
    return std::make_unique<LibraryOptimizer<FusedLion>>(options, model, groups,
                                                         LionTorchOptions(with_moments(LionOptions())));
  }
  if (options.optimizer == "spam") {
    SpamOptions settings = with_moments(SpamOptions());
    settings.reset_interval = options.reset_interval;
    return std::make_unique<LibraryOptimizer<FusedSpam>>(options, model, groups, SpamTorchOptions(settings));
  }
  if (options.optimizer == "stable_spam") {
    AdamOptions settings = with_moments(AdamOptions::stable_spam());
    settings.reset_interval = options.reset_interval;
    return std::make_unique<LibraryOptimizer<FusedAdamWithResets>>(options, model, groups,
                                                                   AdamWithResetsTorchOptions(settings));
  }
  if (options.optimizer == "adam_mini") {
    AdamMiniOptions settings = with_moments(AdamMiniOptions());
    if (attention) {
      settings.dim = attention->width;
      settings.n_heads = attention->heads;
    }
    return std::make_unique<LibraryOptimizer<FusedAdamMini>>(options, model, groups,
                                                             AdamMiniTorchOptions(std::move(settings)));
  }
  if (options.optimizer == "adamw") {
    return of_either_engine<torch::optim::AdamW, FusedAdamW>(options, model, groups,
                                                             torch::optim::AdamWOptions(options.lr)
                                                                 .betas(betas)
                                                                 .eps(options.adam_epsilon)
                                                                 .weight_decay(options.weight_decay));
  }
  throw Error(Status(StatusCode::unsupported, "nothing makes optimizer '" + options.optimizer + "'"));
}

}  // namespace gradstab::lab
