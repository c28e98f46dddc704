#include "lab/replay/methods.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "lab/replay/quantizers.hpp"

namespace gradstab::lab {
namespace {

/// One method's maker, with what all of them need.
struct Context {
  Settings& settings;
  bool wide;
  Compat compat;
};

ReplayedMethod alone(GradientTransform transform) {
  ReplayedMethod method;
  method.transform.emplace(std::move(transform));
  return method;
}

ReplayedMethod optimizer(OptimizerOptions options, std::optional<GradientTransform> transform) {
  ReplayedMethod method;
  method.optimizer.emplace(std::move(options), std::move(transform));
  return method;
}

StabilizerOptions stabilizer_options(const Context& c, const char* epsilon) {
  auto options = StabilizerOptions::released();
  c.settings.read("gamma1", options.gamma1);
  c.settings.read("gamma2", options.gamma2);
  c.settings.read("bias_correction", options.bias_correction);
  c.settings.read("robust_kappa", options.robust_kappa);
  c.settings.read(epsilon, options.epsilon);
  // Recorded float32 and float64 runs may have used different ones.
  if (c.wide && !c.settings.overridden(epsilon))
    c.settings.read(std::string(epsilon) + "64", options.epsilon);
  return options;
}

AdaptiveValueClipOptions value_clip_options(const Context& c, std::int64_t reset_interval) {
  auto options = AdaptiveValueClipOptions::stable_spam();
  c.settings.read("gamma3", options.theta);
  options.compat = c.compat;
  if (c.compat == Compat::released) options.reset_interval = reset_interval;
  return options;
}

AdaptiveNormOptions norm_options(const Context& c, double beta1, std::int64_t reset_interval) {
  auto options = AdaptiveNormOptions::stable_spam();
  c.settings.read("gamma1", options.gamma1);
  if (options.gamma1 < 0.0) options.gamma1 = beta1;  // as the authors' -1
  c.settings.read("gamma2", options.gamma2);
  c.settings.read("eps", options.epsilon);
  c.settings.read("total_T", options.total_steps);
  c.settings.read("eta_min", options.least_scale);
  options.compat = c.compat;
  if (c.compat == Compat::released) options.reset_interval = reset_interval;
  return options;
}

std::int64_t reset_gap(const Context& c) {
  std::int64_t interval = AdamOptions::stable_spam().reset_interval;
  c.settings.read("update_proj_gap", interval);
  return interval;
}

ReplayedMethod make_stabilize(const Context& c) {
  return alone(stabilize(stabilizer_options(c, "eps")));
}

ReplayedMethod make_value_clip(const Context& c) {
  auto options = ClipByValueOptions::gradient_stabilizer();
  c.settings.read("clip_value", options.max_abs);
  return alone(clip_by_value(options));
}

ReplayedMethod make_norm_clip(const Context& c) {
  auto options = GlobalNormOptions::gradient_stabilizer();
  c.settings.read("max_norm", options.max_norm);
  c.settings.read("norm_type", options.p);
  return alone(clip_by_global_norm(options));
}

ReplayedMethod make_agc(const Context& c) {
  auto options = AdaptiveClipOptions::nfnet();
  c.settings.read("clip_factor", options.clip_factor);
  c.settings.read("eps", options.epsilon);
  c.settings.read("norm_floor", options.norm_floor);
  return alone(adaptive_clip(std::move(options)));
}

Result<ReplayedMethod> make_zclip(const Context& c) {
  auto options = ZClipOptions::zclip();
  c.settings.read("alpha", options.alpha);
  c.settings.read("z_thresh", options.z_threshold);
  c.settings.read("max_grad_norm", options.max_norm);
  c.settings.read("eps", options.epsilon);
  c.settings.read("warmup_steps", options.warmup_steps);
  c.settings.read("clip_factor", options.clip_factor);
  c.settings.read("skip_update_on_spike", options.skip_update_on_spike);
  std::string mode = "zscore";
  std::string target = "adaptive_scaling";
  c.settings.read("mode", mode);
  c.settings.read("clip_option", target);
  if (mode != "zscore" && mode != "percentile") {
    return Status(StatusCode::invalid_argument,
                  fmt::format("setting mode must be zscore or percentile, got '{}'", mode));
  }
  if (target != "adaptive_scaling" && target != "mean") {
    return Status(StatusCode::invalid_argument,
                  fmt::format("setting clip_option must be adaptive_scaling or mean, got '{}'", target));
  }
  options.mode = mode == "zscore" ? ZClipMode::zscore : ZClipMode::percentile;
  options.target = target == "mean" ? ZClipTarget::mean : ZClipTarget::adaptive_scaling;
  options.compat = c.compat;
  return alone(zclip(options));
}

ReplayedMethod make_adagc(const Context& c) {
  AdaGcOptions options;
  c.settings.read("lam_rel", options.relative);
  c.settings.read("lam_abs", options.absolute);
  c.settings.read("beta", options.beta);
  c.settings.read("T_start", options.warmup_steps);
  c.settings.read("eps", options.epsilon);
  c.settings.read("global_warmup", options.global_warmup);
  c.settings.read("whole_model", options.whole_model);
  options.compat = c.compat;
  return alone(adagc(options));
}

ReplayedMethod make_spike_aware_clip(const Context& c) {
  auto options = SpikeAwareClipOptions::spam();
  c.settings.read("threshold", options.threshold);
  c.settings.read("beta2", options.beta2);
  c.settings.read("DeltaT", options.reset_interval);
  c.settings.read("grad_accu_steps", options.quiet_steps);
  options.compat = c.compat;
  return alone(spike_aware_clip(options));
}

ReplayedMethod make_adaptive_value_clip(const Context& c) {
  return alone(adaptive_value_clip(value_clip_options(c, reset_gap(c))));
}

ReplayedMethod make_adaptive_norm(const Context& c) {
  return alone(adaptive_norm(norm_options(c, AdamOptions().beta1, reset_gap(c))));
}

ReplayedMethod make_normalize(const Context&) {
  return alone(normalize());
}

ReplayedMethod make_scale_by(const Context& c) {
  double factor = 1.0;
  c.settings.read("factor", factor);
  return alone(scale_by(factor));
}

ReplayedMethod make_record_norms(const Context& c) {
  double ratio = StabilizerOptions{}.spike_ratio;
  c.settings.read("spike_ratio", ratio);
  return alone(record_norms(ratio));
}

template <class Options>
Options with_rate(const Context& c, Options options) {
  c.settings.read("lr", options.lr);
  c.settings.read("weight_decay", options.weight_decay);
  if constexpr (requires { options.beta1; }) {
    c.settings.read("beta1", options.beta1);
    c.settings.read("beta2", options.beta2);
  }
  if constexpr (requires { options.epsilon; }) c.settings.read("eps", options.epsilon);
  return options;
}

OptimizerOptions sgd_options(const Context& c) {
  auto options = with_rate(c, SgdOptions{});
  c.settings.read("momentum", options.momentum);
  c.settings.read("dampening", options.dampening);
  c.settings.read("nesterov", options.nesterov);
  return options;
}

OptimizerOptions adam_options(const Context& c, AdamOptions defaults) {
  auto options = with_rate(c, defaults);
  c.settings.read("decoupled", options.decoupled);
  c.settings.read("amsgrad", options.amsgrad);
  return options;
}

OptimizerOptions lion_options(const Context& c) {
  auto options = with_rate(c, LionOptions{});
  bool independent = false;
  c.settings.read("decoupled_weight_decay", independent);
  if (independent) options.decay_over_lr = options.lr;
  return options;
}

OptimizerOptions adam_mini_options(const Context& c) {
  auto options = with_rate(c, AdamMiniOptions{});
  c.settings.read("dim", options.dim);
  c.settings.read("n_heads", options.n_heads);
  return options;
}

OptimizerOptions spam_options(const Context& c) {
  auto options = with_rate(c, SpamOptions{});
  c.settings.read("threshold", options.threshold);
  c.settings.read("DeltaT", options.reset_interval);
  c.settings.read("warmup_steps", options.warmup_steps);
  c.settings.read("grad_accu_steps", options.quiet_steps);
  return options;
}

/// Stable-SPAM multiplies Adam's beta1 by the same cosine as gamma1.
ReplayedMethod make_stable_spam(const Context& c) {
  auto adam = std::get<AdamOptions>(adam_options(c, AdamOptions::stable_spam()));
  adam.reset_interval = reset_gap(c);
  adam.compat = c.compat;
  const auto norm = norm_options(c, adam.beta1, adam.reset_interval);
  auto method = optimizer(
      adam, chain(adaptive_value_clip(value_clip_options(c, adam.reset_interval)), adaptive_norm(norm)));
  method.writes_gradients = true;
  method.before_step = [adam, norm](Optimizer& stepped, std::int64_t step) {
    auto now = adam;
    now.beta1 *= norm.scale_at(step);
    stepped.set_options(0, now).check();
  };
  return method;
}

using Make = Result<ReplayedMethod> (*)(const Context&);
struct Entry {
  MethodName name;
  std::string_view also;  ///< the name this library gives it, or another that is in use
  Make make;
};

template <auto kMake>
Result<ReplayedMethod> transform_of(const Context& c) {
  return kMake(c);
}

/// The optimizer alone, or with stabilize in front.
template <OptimizerOptions (*kOptions)(const Context&), bool kStabilized>
Result<ReplayedMethod> optimizer_of(const Context& c) {
  std::optional<GradientTransform> transform;
  if (kStabilized) transform.emplace(stabilize(stabilizer_options(c, "eps_gs")));
  return optimizer(kOptions(c), std::move(transform));
}

OptimizerOptions adam_with_l2(const Context& c) {
  return adam_options(c, AdamOptions{});
}
OptimizerOptions adamw(const Context& c) {
  return adam_options(c, AdamOptions::adamw());
}
OptimizerOptions amsgrad(const Context& c) {
  AdamOptions defaults;
  defaults.amsgrad = true;
  return adam_options(c, defaults);
}

/// The optimizer is a setting here, and its defaults are those of the recorded runs: no weight decay.
ReplayedMethod make_quadratic(const Context& c) {
  std::string name = "adamw";
  c.settings.read("optimizer", name);
  AdamOptions plain_adamw;
  plain_adamw.decoupled = true;
  auto options = name == "sgd" ? sgd_options(c) : adam_options(c, plain_adamw);
  return optimizer(std::move(options), stabilize(stabilizer_options(c, "eps_gs")));
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> list = {
      {{"gradient_stabilizer", "GradientStabilizer"}, "stabilize", transform_of<make_stabilize>},
      {{"value_clip", "clipping by value"}, "clip_by_value", transform_of<make_value_clip>},
      {{"norm_clip", "clipping by global norm"}, "clip_by_global_norm", transform_of<make_norm_clip>},
      {{"agc", "adaptive gradient clipping"}, "adaptive_clip", transform_of<make_agc>},
      {{"zclip", "ZClip"}, "", transform_of<make_zclip>},
      {{"adagc", "AdaGC"}, "", transform_of<make_adagc>},
      {{"spike_aware_clip", "SPAM's clipping alone"}, "", transform_of<make_spike_aware_clip>},
      {{"adaptive_value_clip", "Stable-SPAM's AdaClip alone"}, "", transform_of<make_adaptive_value_clip>},
      {{"adaptive_norm", "Stable-SPAM's AdaGN alone"}, "", transform_of<make_adaptive_norm>},
      {{"normalize", "norm 1 per tensor"}, "", transform_of<make_normalize>},
      {{"scale_by", "a constant factor"}, "", transform_of<make_scale_by>},
      {{"record_norms", "nothing but statistics"}, "", transform_of<make_record_norms>},
      {{"sgd_momentum", "SGD"}, "sgd", optimizer_of<sgd_options, false>},
      {{"adam", "Adam"}, "", optimizer_of<adam_with_l2, false>},
      {{"adamw", "AdamW"}, "", optimizer_of<adamw, false>},
      {{"amsgrad", "AMSGrad"}, "", optimizer_of<amsgrad, false>},
      {{"lion", "Lion"}, "", optimizer_of<lion_options, false>},
      {{"adam_mini", "Adam-mini"}, "", optimizer_of<adam_mini_options, false>},
      {{"spam", "SPAM"}, "", optimizer_of<spam_options, false>},
      {{"stable_spam", "Stable-SPAM"}, "", transform_of<make_stable_spam>},
      {{"gs_sgd_momentum", "stabilize and SGD"}, "gs_sgd", optimizer_of<sgd_options, true>},
      {{"gs_adam", "stabilize and Adam"}, "", optimizer_of<adam_with_l2, true>},
      {{"gs_adamw", "stabilize and AdamW"}, "gs_adamw_nan", optimizer_of<adamw, true>},
      {{"gs_quadratic", "stabilize and AdamW or SGD on a quadratic"}, "", transform_of<make_quadratic>},
      {{"gs_lion", "stabilize and Lion"}, "", optimizer_of<lion_options, true>},
      {{"gs_adam_mini", "stabilize and Adam-mini"}, "", optimizer_of<adam_mini_options, true>},
  };
  return list;
}

Result<NonFinitePolicy> policy(const std::string& name) {
  if (name == "skip_tensor") return NonFinitePolicy::skip_tensor;
  if (name == "skip_step") return NonFinitePolicy::skip_step;
  if (name == "raise") return NonFinitePolicy::raise;
  if (name == "pass_through") return NonFinitePolicy::pass_through;
  return Status(
      StatusCode::invalid_argument,
      fmt::format("setting nonfinite must be skip_tensor, skip_step, raise or pass_through, got '{}'", name));
}

const Entry* find_entry(std::string_view name) {
  const auto found = std::ranges::find_if(entries(), [&](const Entry& entry) {
    return entry.name.name == name || (!entry.also.empty() && entry.also == name);
  });
  return found == entries().end() ? nullptr : &*found;
}

}  // namespace

Result<Compat> read_compat(Settings& settings) {
  std::string compat = "robust";
  settings.read("compat", compat);
  if (compat == "robust") return Compat::robust;
  if (compat == "released") return Compat::released;
  return Status(StatusCode::invalid_argument,
                fmt::format("setting compat must be robust or released, got '{}'", compat));
}

const std::vector<MethodName>& replayed_methods() {
  static const std::vector<MethodName> names = [] {
    std::vector<MethodName> list;
    for (const Entry& entry : entries()) list.push_back(entry.name);
    for (const MethodName& name : quantizer_methods()) list.push_back(name);
    return list;
  }();
  return names;
}

Status check_method(std::string_view name) {
  if (is_quantizer(name) || find_entry(name) != nullptr) return {};
  std::string known;
  for (const MethodName& method : replayed_methods())
    known += (known.empty() ? "" : ", ") + std::string(method.name);
  return {StatusCode::invalid_argument, fmt::format("unknown method '{}'; known are {}", name, known)};
}

Result<ReplayedMethod> make_replayed_method(std::string_view name, Settings& settings, bool wide) {
  const Entry* found = find_entry(name);
  if (found == nullptr) return check_method(name);
  const auto compat = read_compat(settings);
  if (!compat) return compat.status();
  const bool released = *compat == Compat::released;
  std::string nonfinite = released ? "pass_through" : "skip_tensor";
  settings.read("nonfinite", nonfinite);
  const auto chosen = policy(nonfinite);
  if (!chosen) return chosen.status();
  auto method = found->make({settings, wide, *compat});
  if (!method) return method;
  method->nonfinite = *chosen;
  GRADSTAB_RETURN_IF_ERROR(settings.status());
  return method;
}

}  // namespace gradstab::lab
