#include "kept/subjects.hpp"

#include <limits>
#include <random>

#include "gradstab/transforms.hpp"
#include "optimizer/kinds.hpp"
#include "optimizer/training.hpp"

namespace gradstab::testing {
namespace {

Units two_groups() {
  return Units::by_name({{"layers", {"layers.*"}}, {"rest", {"norm*", "sc=ale", "embed.weight"}}});
}

std::vector<KeptSubject> transforms() {
  return {
      {"stabilize", [] { return stabilize(); }},
      {"stabilize_paper", [] { return stabilize(StabilizerOptions::paper()); }},
      {"stabilize_robust_row", [] { return stabilize(StabilizerOptions::robust(), Units::per_row()); }},
      {"stabilize_group", [] { return stabilize({.gamma1 = 0.5, .epsilon = 1e-9}, two_groups()); }},
      {"stabilize_model", [] { return stabilize({}, Units::whole_model()); }},
      {"clip_by_value", [] { return clip_by_value(0.75); }},
      {"clip_by_global_norm", [] { return clip_by_global_norm(1.5); }},
      {"clip_by_largest", [] { return clip_by_global_norm(GlobalNormOptions::largest_entry(0.5)); }},
      {"clip_by_p_norm", [] { return clip_by_global_norm({.max_norm = 1.5, .p = 3.0}); }},
      {"adaptive_clip",
       [] {
         return adaptive_clip({.clip_factor = 0.25, .exclude = {"embed.*", "norm.weight"}});
       }},
      {"zclip", [] { return zclip({.warmup_steps = 3}); }},
      {"zclip_released",
       [] {
         return zclip({.max_norm = std::numeric_limits<double>::infinity(),
                       .warmup_steps = 2,
                       .mode = ZClipMode::percentile,
                       .target = ZClipTarget::mean,
                       .skip_update_on_spike = true,
                       .compat = Compat::released});
       }},
      {"adagc", [] { return adagc({.warmup_steps = 3}); }},
      {"adagc_v1_model",
       [] {
         AdaGcOptions options = AdaGcOptions::adagc_v1();
         options.global_warmup = false;
         options.whole_model = true;
         options.warmup_steps = 2;
         return adagc(options);
       }},
      {"spike_aware_clip",
       [] {
         return spike_aware_clip({.threshold = 2.0, .beta2 = 0.9, .reset_interval = 7, .quiet_steps = 2});
       }},
      {"adaptive_value_clip",
       [] { return adaptive_value_clip({.theta = 0.9, .reset_interval = 4, .compat = Compat::released}); }},
      {"adaptive_norm", [] { return adaptive_norm({.total_steps = 20, .least_scale = 0.25}, two_groups()); }},
      {"normalize_row", [] { return normalize(Units::per_row()); }},
      {"scale_by", [] { return scale_by(0.375); }},
      {"record_norms", [] { return record_norms(2.0); }},
      {"chain",
       [] { return chain(record_norms(), zclip({.warmup_steps = 2}), clip_by_value(1.0), stabilize()); }},
  };
}

/// Multiples of 1/16 up to about 4, and large ones once in a while.
std::vector<Values> gradients_of(const ParameterSet& parameters, int step) {
  std::mt19937_64 random(static_cast<std::uint64_t>(step));
  auto values = exact_gradients(random, parameters);
  for (Values& tensor : values) {
    const double scale = random() % 5 == 0 ? 32.0 : 1.0;
    for (double& value : tensor) value *= scale;
  }
  return values;
}

}  // namespace

std::vector<KeptSubject> kept_subjects() {
  std::vector<KeptSubject> subjects = transforms();
  for (const Kind& kind : all_kinds()) subjects.push_back({"optimizer_" + kind.name, {}, kind.options});
  subjects.push_back({"optimizer_stabilized_adamw", [] { return stabilize(); }, kind("adamw")});
  AdamOptions stable_spam = AdamOptions::stable_spam();
  stable_spam.reset_interval = 4;
  stable_spam.compat = Compat::released;
  subjects.push_back(
      {"optimizer_stable_spam", [] { return chain(adaptive_value_clip(), adaptive_norm()); }, stable_spam});
  return subjects;
}

KeptRun::KeptRun(const KeptSubject& subject)
    : parameters_(small_model()),
      gradients_(parameters_, DType::float64),
      weights_(parameters_, DType::float64) {
  const RunOptions run{.nonfinite = NonFinitePolicy::skip_tensor, .backend = "reference"};
  weights_.set_all(gradients_of(parameters_, 1000));
  if (subject.transform) transform_.emplace(subject.transform());
  if (!subject.optimizer) {
    transform_->init(parameters_, run).check();
    return;
  }
  optimizer_.emplace(*subject.optimizer, std::move(transform_));
  transform_.reset();
  optimizer_->init(parameters_, {.run = run}).check();
}

void KeptRun::steps(int first, int last) {
  for (int step = first; step <= last; ++step) {
    gradients_.set_all(gradients_of(parameters_, step));
    if (optimizer_) {
      (void)optimizer_->step(weights_.refs(), gradients_.refs()).value();
    } else {
      (void)transform_->update(gradients_.refs(), weights_.refs()).value();
    }
  }
}

std::vector<std::byte> KeptRun::save() const {
  return optimizer_ ? optimizer_->save().value() : transform_->save().value();
}

Status KeptRun::load(const std::vector<std::byte>& bytes) {
  return optimizer_ ? optimizer_->load(bytes) : transform_->load(bytes);
}

void KeptRun::set_weights(const std::vector<Values>& values) {
  weights_.set_all(values);
}

std::vector<Values> KeptRun::left() const {
  std::vector<Values> values = gradients_.values();
  if (optimizer_)
    for (Values& tensor : weights_.values()) values.push_back(std::move(tensor));
  return values;
}

}  // namespace gradstab::testing
