#include "settings.hpp"

#include <optional>
#include <vector>

#include "errors.hpp"
#include "gradstab/transforms.hpp"
#include "settings_reader.hpp"

namespace gradstab::python {
namespace {

template <class Choice>
using Choices = std::vector<std::pair<std::string, Choice>>;

const Choices<Compat> kCompat = {{"robust", Compat::robust}, {"released", Compat::released}};

Units take_units(SettingsReader& settings) {
  Units units;
  settings.take("granularity", units.granularity,
                {{"tensor", Granularity::tensor},
                 {"row", Granularity::row},
                 {"group", Granularity::group},
                 {"model", Granularity::model}});
  for (auto& [name, patterns] : settings.take_prefixed("group:")) {
    units.groups.push_back({name, std::move(patterns)});
  }
  return units;
}

GradientTransform make_stabilize(SettingsReader& settings) {
  StabilizerOptions options;
  settings.take("gamma1", options.gamma1);
  settings.take("gamma2", options.gamma2);
  settings.take("epsilon", options.epsilon);
  settings.take("bias_correction", options.bias_correction);
  settings.take("spike_ratio", options.spike_ratio);
  settings.take("robust_kappa", options.robust_kappa);
  return stabilize(options, take_units(settings));
}

GradientTransform make_clip_by_value(SettingsReader& settings) {
  ClipByValueOptions options;
  settings.take("max_abs", options.max_abs);
  return clip_by_value(options);
}

GradientTransform make_clip_by_global_norm(SettingsReader& settings) {
  GlobalNormOptions options;
  settings.take("max_norm", options.max_norm);
  settings.take("p", options.p);
  return clip_by_global_norm(options);
}

GradientTransform make_adaptive_clip(SettingsReader& settings) {
  AdaptiveClipOptions options;
  settings.take("clip_factor", options.clip_factor);
  settings.take("epsilon", options.epsilon);
  settings.take("norm_floor", options.norm_floor);
  settings.take("exclude", options.exclude);
  return adaptive_clip(options);
}

GradientTransform make_zclip(SettingsReader& settings) {
  ZClipOptions options;
  settings.take("alpha", options.alpha);
  settings.take("z_threshold", options.z_threshold);
  settings.take("max_norm", options.max_norm);
  settings.take("epsilon", options.epsilon);
  settings.take("warmup_steps", options.warmup_steps);
  settings.take("mode", options.mode, {{"zscore", ZClipMode::zscore}, {"percentile", ZClipMode::percentile}});
  settings.take("target", options.target,
                {{"adaptive_scaling", ZClipTarget::adaptive_scaling}, {"mean", ZClipTarget::mean}});
  settings.take("clip_factor", options.clip_factor);
  settings.take("skip_update_on_spike", options.skip_update_on_spike);
  settings.take("compat", options.compat, kCompat);
  return zclip(options);
}

GradientTransform make_adagc(SettingsReader& settings) {
  AdaGcOptions options;
  settings.take("relative", options.relative);
  settings.take("absolute", options.absolute);
  settings.take("beta", options.beta);
  settings.take("warmup_steps", options.warmup_steps);
  settings.take("epsilon", options.epsilon);
  settings.take("global_warmup", options.global_warmup);
  settings.take("whole_model", options.whole_model);
  settings.take("compat", options.compat, kCompat);
  return adagc(options);
}

GradientTransform make_spike_aware_clip(SettingsReader& settings) {
  SpikeAwareClipOptions options;
  settings.take("threshold", options.threshold);
  settings.take("beta2", options.beta2);
  settings.take("reset_interval", options.reset_interval);
  settings.take("quiet_steps", options.quiet_steps);
  settings.take("compat", options.compat, kCompat);
  return spike_aware_clip(options);
}

GradientTransform make_adaptive_value_clip(SettingsReader& settings) {
  AdaptiveValueClipOptions options;
  settings.take("theta", options.theta);
  settings.take("reset_interval", options.reset_interval);
  settings.take("compat", options.compat, kCompat);
  return adaptive_value_clip(options);
}

GradientTransform make_adaptive_norm(SettingsReader& settings) {
  AdaptiveNormOptions options;
  settings.take("gamma1", options.gamma1);
  settings.take("gamma2", options.gamma2);
  settings.take("epsilon", options.epsilon);
  settings.take("total_steps", options.total_steps);
  settings.take("least_scale", options.least_scale);
  settings.take("reset_interval", options.reset_interval);
  settings.take("compat", options.compat, kCompat);
  return adaptive_norm(options, take_units(settings));
}

GradientTransform make_normalize(SettingsReader& settings) {
  return normalize(take_units(settings));
}

GradientTransform make_scale_by(SettingsReader& settings) {
  double factor = 1.0;
  settings.take("factor", factor);
  return scale_by(factor);
}

GradientTransform make_record_norms(SettingsReader& settings) {
  double spike_ratio = StabilizerOptions{}.spike_ratio;
  settings.take("spike_ratio", spike_ratio);
  return record_norms(spike_ratio, take_units(settings));
}

struct Method {
  const char* name;
  GradientTransform (*make)(SettingsReader&);
};

constexpr Method kMethods[] = {
    {"stabilize", make_stabilize},
    {"clip_by_value", make_clip_by_value},
    {"clip_by_global_norm", make_clip_by_global_norm},
    {"adaptive_clip", make_adaptive_clip},
    {"zclip", make_zclip},
    {"adagc", make_adagc},
    {"spike_aware_clip", make_spike_aware_clip},
    {"adaptive_value_clip", make_adaptive_value_clip},
    {"adaptive_norm", make_adaptive_norm},
    {"normalize", make_normalize},
    {"scale_by", make_scale_by},
    {"record_norms", make_record_norms},
};

GradientTransform make_link(const std::string& name, const Numbers& numbers, const Words& words) {
  for (const Method& method : kMethods) {
    if (name != method.name) continue;
    SettingsReader settings(name, numbers, words);
    GradientTransform link = method.make(settings);
    settings.finish();
    return link;
  }
  raise({StatusCode::invalid_argument, "'" + name + "' is no method of this library"});
}

SgdOptions make_sgd(SettingsReader& settings) {
  SgdOptions options;
  settings.take("lr", options.lr);
  settings.take("momentum", options.momentum);
  settings.take("dampening", options.dampening);
  settings.take("weight_decay", options.weight_decay);
  settings.take("nesterov", options.nesterov);
  return options;
}

AdamOptions make_adam(SettingsReader& settings) {
  AdamOptions options;
  settings.take("lr", options.lr);
  settings.take("beta1", options.beta1);
  settings.take("beta2", options.beta2);
  settings.take("epsilon", options.epsilon);
  settings.take("weight_decay", options.weight_decay);
  settings.take("decoupled", options.decoupled);
  settings.take("amsgrad", options.amsgrad);
  settings.take("reset_interval", options.reset_interval);
  settings.take("compat", options.compat, kCompat);
  return options;
}

LionOptions make_lion(SettingsReader& settings) {
  LionOptions options;
  settings.take("lr", options.lr);
  settings.take("beta1", options.beta1);
  settings.take("beta2", options.beta2);
  settings.take("weight_decay", options.weight_decay);
  settings.take("decay_over_lr", options.decay_over_lr);
  return options;
}

AdamMiniOptions make_adam_mini(SettingsReader& settings) {
  AdamMiniOptions options;
  settings.take("lr", options.lr);
  settings.take("beta1", options.beta1);
  settings.take("beta2", options.beta2);
  settings.take("epsilon", options.epsilon);
  settings.take("weight_decay", options.weight_decay);
  settings.take("dim", options.dim);
  settings.take("n_heads", options.n_heads);
  const Choices<AdamMiniUnit> units = {{"element", AdamMiniUnit::element},
                                       {"head", AdamMiniUnit::head},
                                       {"row", AdamMiniUnit::row},
                                       {"tensor", AdamMiniUnit::tensor}};
  const std::string prefix = "override:";
  for (const auto& [pattern, word] : settings.take_prefixed(prefix)) {
    AdamMiniUnit unit{};
    settings.take(prefix + pattern, unit, units);
    options.overrides.push_back({pattern, unit});
  }
  return options;
}

SpamOptions make_spam(SettingsReader& settings) {
  SpamOptions options;
  settings.take("lr", options.lr);
  settings.take("beta1", options.beta1);
  settings.take("beta2", options.beta2);
  settings.take("epsilon", options.epsilon);
  settings.take("weight_decay", options.weight_decay);
  settings.take("threshold", options.threshold);
  settings.take("reset_interval", options.reset_interval);
  settings.take("warmup_steps", options.warmup_steps);
  settings.take("quiet_steps", options.quiet_steps);
  return options;
}

OptimizerOptions read_optimizer(const std::string& kind, SettingsReader& settings) {
  if (kind == "sgd") return make_sgd(settings);
  if (kind == "adam") return make_adam(settings);
  if (kind == "lion") return make_lion(settings);
  if (kind == "adam_mini") return make_adam_mini(settings);
  if (kind == "spam") return make_spam(settings);
  raise({StatusCode::invalid_argument, "'" + kind + "' is no optimizer of this library"});
}

template <class Choice>
Choice choose(const std::string& name, const std::string& word, const Choices<Choice>& choices) {
  Words words;
  words.insert(name, c10::List<std::string>({word}));
  SettingsReader reader("this package", Numbers(), words);
  Choice choice{};
  reader.take(name, choice, choices);
  return choice;
}

}  // namespace

GradientTransform make_transform(const Description& description) {
  std::vector<GradientTransform> links;
  for (std::size_t i = 0; i < description.methods.size(); ++i) {
    links.push_back(
        make_link(description.methods.get(i), description.numbers.get(i), description.words.get(i)));
  }
  if (links.size() == 1) return std::move(links.front());
  return chain_of(std::move(links));
}

OptimizerOptions make_optimizer_options(const std::string& kind, const Numbers& numbers, const Words& words) {
  SettingsReader settings(kind, numbers, words);
  OptimizerOptions options = read_optimizer(kind, settings);
  settings.finish();
  return options;
}

RunOptions make_run_options(const std::string& nonfinite, const std::string& backend) {
  RunOptions options;
  options.nonfinite = choose<NonFinitePolicy>("nonfinite", nonfinite,
                                              {{"skip_tensor", NonFinitePolicy::skip_tensor},
                                               {"skip_step", NonFinitePolicy::skip_step},
                                               {"raise", NonFinitePolicy::raise},
                                               {"pass_through", NonFinitePolicy::pass_through}});
  options.backend = backend;
  return options;
}

LowPrecision low_precision_of(const std::string& name) {
  return choose<LowPrecision>("low_precision", name,
                              {{"master_copy", LowPrecision::master_copy},
                               {"stochastic_rounding", LowPrecision::stochastic_rounding}});
}

}  // namespace gradstab::python
