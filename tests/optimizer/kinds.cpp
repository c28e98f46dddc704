#include "optimizer/kinds.hpp"

#include <algorithm>
#include <stdexcept>

namespace gradstab::testing {
namespace {

AdamOptions adam(bool decoupled, bool amsgrad) {
  AdamOptions options;
  options.lr = 0.012;
  options.beta1 = 0.87;
  options.beta2 = 0.97;
  options.epsilon = 1.3e-7;
  options.weight_decay = 0.06;
  options.decoupled = decoupled;
  options.amsgrad = amsgrad;
  return options;
}

LionOptions lion(double over) {
  LionOptions options;
  options.lr = 0.003;
  options.beta1 = 0.88;
  options.beta2 = 0.985;
  options.weight_decay = over > 0 ? 0.004 : 0.2;
  options.decay_over_lr = over;
  return options;
}

std::vector<Kind> make_kinds() {
  std::vector<Kind> kinds;
  kinds.push_back({"sgd", SgdOptions{.lr = 0.03, .weight_decay = 0.07}});
  kinds.push_back(
      {"sgd_momentum", SgdOptions{.lr = 0.02, .momentum = 0.9, .dampening = 0.2, .weight_decay = 0.07}});
  kinds.push_back(
      {"sgd_nesterov", SgdOptions{.lr = 0.01, .momentum = 0.85, .weight_decay = 0.07, .nesterov = true}});
  kinds.push_back({"adam", adam(false, false)});
  kinds.push_back({"adamw", adam(true, false)});
  kinds.push_back({"amsgrad", adam(false, true)});
  kinds.push_back({"amsgradw", adam(true, true)});
  AdamOptions resetting = adam(false, true);
  resetting.reset_interval = 9;
  kinds.push_back({"adam_reset", resetting});
  kinds.push_back({"lion", lion(0.0)});
  kinds.push_back({"lion_over_lr", lion(0.02)});
  AdamMiniOptions mini;
  mini.lr = 0.011;
  mini.beta1 = 0.88;
  mini.beta2 = 0.96;
  mini.epsilon = 1.7e-7;
  mini.weight_decay = 0.08;
  mini.dim = 8;
  mini.n_heads = 2;
  kinds.push_back({"adam_mini", mini});
  SpamOptions spam;
  spam.lr = 0.013;
  spam.beta1 = 0.86;
  spam.beta2 = 0.95;
  spam.epsilon = 1.9e-6;
  spam.weight_decay = 0.05;
  spam.threshold = 2.5;
  spam.reset_interval = 23;
  spam.warmup_steps = 6;
  spam.quiet_steps = 4;
  kinds.push_back({"spam", spam});
  return kinds;
}

}  // namespace

const std::vector<Kind>& all_kinds() {
  static const std::vector<Kind> kinds = make_kinds();
  return kinds;
}

std::vector<Kind> kinds_with_early_resets() {
  std::vector<Kind> kinds = all_kinds();
  for (Kind& kind : kinds) {
    std::visit(
        [](auto& typed) {
          if constexpr (requires { typed.reset_interval; })
            typed.reset_interval = std::min<std::int64_t>(typed.reset_interval, 3);
          if constexpr (requires { typed.quiet_steps; }) typed.quiet_steps = 1;
        },
        kind.options);
  }
  auto released = std::get<AdamOptions>(std::ranges::find(kinds, "adam_reset", &Kind::name)->options);
  released.compat = Compat::released;
  kinds.push_back({"adam_reset_released", released});
  AdamOptions stable_spam = AdamOptions::stable_spam();
  stable_spam.reset_interval = 3;
  kinds.push_back({"stable_spam", stable_spam});
  stable_spam.compat = Compat::released;
  kinds.push_back({"stable_spam_released", stable_spam});
  return kinds;
}

const OptimizerOptions& kind(const std::string& name) {
  const auto found = std::ranges::find(all_kinds(), name, &Kind::name);
  if (found == all_kinds().end()) throw std::logic_error("no such kind: " + name);
  return found->options;
}

bool steps_one_by_one(const OptimizerOptions& options) {
  return !std::holds_alternative<SpamOptions>(options);
}

double learning_rate(const OptimizerOptions& options) {
  return std::visit([](const auto& typed) { return typed.lr; }, options);
}

OptimizerOptions with_learning_rate(OptimizerOptions options, double lr) {
  std::visit([lr](auto& typed) { typed.lr = lr; }, options);
  return options;
}

}  // namespace gradstab::testing
