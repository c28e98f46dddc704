#include <cmath>

#include "core/optimizer_rule.hpp"
#include "core/text.hpp"

namespace gradstab {
namespace {

Status out_of_range(const char* name, const char* range, double value) {
  return {StatusCode::invalid_argument, detail::concat(name, " must be ", range, ", got ", value)};
}

Status decay(const char* name, double value) {
  return value >= 0.0 && value < 1.0 ? Status() : out_of_range(name, "in [0, 1)", value);
}

Status not_negative(const char* name, double value) {
  return value >= 0.0 && std::isfinite(value) ? Status() : out_of_range(name, "finite and at least 0", value);
}

Status count(const char* name, std::int64_t value) {
  return value >= 0
             ? Status()
             : Status(StatusCode::invalid_argument, detail::concat(name, " must be at least 0, got ", value));
}

Status check(const SgdOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(not_negative("momentum", options.momentum));
  if (!std::isfinite(options.dampening)) return out_of_range("dampening", "finite", options.dampening);
  if (options.nesterov && (options.momentum == 0.0 || options.dampening != 0.0)) {
    return {StatusCode::invalid_argument,
            detail::concat("nesterov needs momentum above 0 and dampening 0, got ", options.momentum, " and ",
                           options.dampening)};
  }
  return {};
}

template <class Options>
Status check_moments(const Options& options) {
  GRADSTAB_RETURN_IF_ERROR(decay("beta1", options.beta1));
  GRADSTAB_RETURN_IF_ERROR(decay("beta2", options.beta2));
  return not_negative("epsilon", options.epsilon);
}

Status check(const AdamOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(check_moments(options));
  if (options.compat > Compat::released) {
    return {StatusCode::invalid_argument,
            detail::concat("compat is no known choice, got value ", static_cast<int>(options.compat))};
  }
  return count("reset_interval", options.reset_interval);
}

Status check(const LionOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(decay("beta1", options.beta1));
  GRADSTAB_RETURN_IF_ERROR(decay("beta2", options.beta2));
  return not_negative("decay_over_lr", options.decay_over_lr);
}

Status check(const AdamMiniOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(check_moments(options));
  GRADSTAB_RETURN_IF_ERROR(count("dim", options.dim));
  return count("n_heads", options.n_heads);
}

Status check(const SpamOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(check_moments(options));
  if (!(options.threshold > 0.0)) return out_of_range("threshold", "above 0", options.threshold);
  GRADSTAB_RETURN_IF_ERROR(count("reset_interval", options.reset_interval));
  GRADSTAB_RETURN_IF_ERROR(count("warmup_steps", options.warmup_steps));
  return count("quiet_steps", options.quiet_steps);
}

}  // namespace

std::string_view name_of(const OptimizerOptions& options) noexcept {
  struct Name {
    std::string_view operator()(const SgdOptions&) const { return "sgd"; }
    std::string_view operator()(const AdamOptions& adam) const { return adam.decoupled ? "adamw" : "adam"; }
    std::string_view operator()(const LionOptions&) const { return "lion"; }
    std::string_view operator()(const AdamMiniOptions&) const { return "adam_mini"; }
    std::string_view operator()(const SpamOptions&) const { return "spam"; }
  };
  return std::visit(Name{}, options);
}

Status check_lr(double lr) {
  return not_negative("lr", lr);
}

Status validate(const OptimizerOptions& options) {
  return std::visit(
      [](const auto& typed) -> Status {
        GRADSTAB_RETURN_IF_ERROR(check_lr(typed.lr));
        GRADSTAB_RETURN_IF_ERROR(not_negative("weight_decay", typed.weight_decay));
        return check(typed);
      },
      options);
}

}  // namespace gradstab
