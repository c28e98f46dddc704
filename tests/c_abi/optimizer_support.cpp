#include "optimizer_support.hpp"

namespace gradstab::testing {
namespace {

gradstab_sgd_options as_c(const SgdOptions& from) {
  gradstab_sgd_options options = sgd_options();
  options.lr = from.lr;
  options.momentum = from.momentum;
  options.dampening = from.dampening;
  options.weight_decay = from.weight_decay;
  options.nesterov = from.nesterov ? 1 : 0;
  return options;
}

gradstab_adam_options as_c(const AdamOptions& from) {
  gradstab_adam_options options = adam_options();
  options.lr = from.lr;
  options.beta1 = from.beta1;
  options.beta2 = from.beta2;
  options.epsilon = from.epsilon;
  options.weight_decay = from.weight_decay;
  options.decoupled = from.decoupled ? 1 : 0;
  options.amsgrad = from.amsgrad ? 1 : 0;
  options.reset_interval = from.reset_interval;
  options.compat = static_cast<gradstab_compat>(from.compat);
  return options;
}

gradstab_lion_options as_c(const LionOptions& from) {
  gradstab_lion_options options = lion_options();
  options.lr = from.lr;
  options.beta1 = from.beta1;
  options.beta2 = from.beta2;
  options.weight_decay = from.weight_decay;
  options.decay_over_lr = from.decay_over_lr;
  return options;
}

gradstab_adam_mini_options as_c(const AdamMiniOptions& from) {
  gradstab_adam_mini_options options = adam_mini_options();
  options.lr = from.lr;
  options.beta1 = from.beta1;
  options.beta2 = from.beta2;
  options.epsilon = from.epsilon;
  options.weight_decay = from.weight_decay;
  options.dim = from.dim;
  options.n_heads = from.n_heads;
  return options;
}

gradstab_spam_options as_c(const SpamOptions& from) {
  gradstab_spam_options options = spam_options();
  options.lr = from.lr;
  options.beta1 = from.beta1;
  options.beta2 = from.beta2;
  options.epsilon = from.epsilon;
  options.weight_decay = from.weight_decay;
  options.threshold = from.threshold;
  options.reset_interval = from.reset_interval;
  options.warmup_steps = from.warmup_steps;
  options.quiet_steps = from.quiet_steps;
  return options;
}

struct Maker {
  gradstab_transform* transform;
  gradstab_optimizer** optimizer;

  gradstab_status operator()(const gradstab_sgd_options& options) const {
    return gradstab_sgd(&options, transform, optimizer);
  }
  gradstab_status operator()(const gradstab_adam_options& options) const {
    return gradstab_adam(&options, transform, optimizer);
  }
  gradstab_status operator()(const gradstab_lion_options& options) const {
    return gradstab_lion(&options, transform, optimizer);
  }
  gradstab_status operator()(const gradstab_adam_mini_options& options) const {
    return gradstab_adam_mini(&options, transform, optimizer);
  }
  gradstab_status operator()(const gradstab_spam_options& options) const {
    return gradstab_spam(&options, transform, optimizer);
  }
};

std::string described(gradstab_status status, const gradstab_optimizer* optimizer) {
  return std::string(gradstab_status_name(status)) + " \"" + gradstab_optimizer_last_error(optimizer) + "\"";
}

}  // namespace

gradstab_sgd_options sgd_options() {
  gradstab_sgd_options options;
  EXPECT_TRUE(accepted(gradstab_sgd_options_init(&options, sizeof options)));
  return options;
}

gradstab_adam_options adam_options(gradstab_adam_preset preset) {
  gradstab_adam_options options;
  EXPECT_TRUE(accepted(gradstab_adam_options_init(&options, sizeof options, preset)));
  return options;
}

gradstab_lion_options lion_options() {
  gradstab_lion_options options;
  EXPECT_TRUE(accepted(gradstab_lion_options_init(&options, sizeof options)));
  return options;
}

gradstab_adam_mini_options adam_mini_options() {
  gradstab_adam_mini_options options;
  EXPECT_TRUE(accepted(gradstab_adam_mini_options_init(&options, sizeof options)));
  return options;
}

gradstab_spam_options spam_options() {
  gradstab_spam_options options;
  EXPECT_TRUE(accepted(gradstab_spam_options_init(&options, sizeof options)));
  return options;
}

COptions::COptions(const OptimizerOptions& options) {
  std::visit([this](const auto& typed) { value_ = as_c(typed); }, options);
  const auto* mini = std::get_if<AdamMiniOptions>(&options);
  if (mini == nullptr) return;
  for (const auto& override : mini->overrides) patterns_.push_back(override.pattern);
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    overrides_.push_back(
        {patterns_[i].c_str(), static_cast<gradstab_adam_mini_unit>(mini->overrides[i].unit), 0});
  }
  auto& c = std::get<gradstab_adam_mini_options>(value_);
  c.overrides = overrides_.data();
  c.override_count = overrides_.size();
}

const gradstab_optimizer_options* COptions::base() const {
  return std::visit([](const auto& typed) { return &typed.base; }, value_);
}

gradstab_status COptions::make(gradstab_transform* transform, gradstab_optimizer** optimizer) const {
  return std::visit(Maker{transform, optimizer}, value_);
}

OptimizerHandle make_optimizer(const OptimizerOptions& options, gradstab_transform* transform) {
  gradstab_optimizer* optimizer = nullptr;
  EXPECT_TRUE(accepted(COptions(options).make(transform, &optimizer)));
  return OptimizerHandle(optimizer);
}

gradstab_optimizer_run_options optimizer_run_options() {
  gradstab_optimizer_run_options options = {};
  options.struct_size = sizeof options;
  return options;
}

OptimizerHandle initialised_optimizer(gradstab_nonfinite_policy policy) {
  OptimizerHandle optimizer = make_optimizer(AdamOptions::adamw(), make_stabilizer().release());
  gradstab_run_options run = {};
  run.struct_size = sizeof run;
  run.nonfinite = policy;
  gradstab_optimizer_run_options options = optimizer_run_options();
  options.run = &run;
  EXPECT_TRUE(accepted(gradstab_optimizer_init(optimizer.get(), kParameters, 2, &options, nullptr, 0),
                       optimizer.get()));
  return optimizer;
}

Weights::Weights() {
  tensors[0].data = weight.data();
  tensors[1].data = bias.data();
}

void train(gradstab_optimizer* optimizer, Weights& weights, int steps) {
  for (int step = 0; step < steps; ++step) {
    const Pair gradients;
    EXPECT_TRUE(accepted(
        gradstab_optimizer_step_pointers(optimizer, weights.pointers, gradients.pointers, 2, GRADSTAB_FLOAT32,
                                         GRADSTAB_FLOAT32, GRADSTAB_NO_STEP, nullptr),
        optimizer));
  }
}

std::vector<unsigned char> saved(const gradstab_optimizer* optimizer) {
  void* bytes = nullptr;
  std::size_t size = 0;
  EXPECT_TRUE(accepted(gradstab_optimizer_save(optimizer, &bytes, &size), optimizer));
  const auto* begin = static_cast<const unsigned char*>(bytes);
  std::vector<unsigned char> copy(begin, begin + size);
  gradstab_free(bytes);
  return copy;
}

::testing::AssertionResult refused(gradstab_status got, gradstab_status expected,
                                   const gradstab_optimizer* optimizer, const std::string& message) {
  if (got == expected && gradstab_optimizer_last_error(optimizer) == message)
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, optimizer) << ", expected "
                                       << gradstab_status_name(expected) << " \"" << message << '"';
}

::testing::AssertionResult refused(gradstab_status got, gradstab_status expected, std::nullptr_t,
                                   const std::string& message) {
  return refused(got, expected, static_cast<const gradstab_optimizer*>(nullptr), message);
}

::testing::AssertionResult accepted(gradstab_status got, const gradstab_optimizer* optimizer) {
  if (got == GRADSTAB_OK && *gradstab_optimizer_last_error(optimizer) == '\0')
    return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "got " << described(got, optimizer);
}

}  // namespace gradstab::testing
