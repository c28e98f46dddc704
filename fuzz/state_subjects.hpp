// The transforms that the state loader is fuzzed with; also used to make its first inputs.
#pragma once

#include <span>

#include "gradstab/transforms.hpp"
#include "support/gradients.hpp"

namespace gradstab::fuzz {

struct StateSubject {
  const char* name;
  GradientTransform (*make)();
};

inline constexpr StateSubject kStateSubjects[] = {
    {"tensor", [] { return stabilize(); }},
    {"row", [] { return stabilize({}, Units::per_row()); }},
    {"group",
     [] {
       return stabilize({}, Units::by_name({{"g", {"a", "b"}}, {"h", {"wide"}}}));
     }},
    {"model", [] { return stabilize(StabilizerOptions::released(), Units::whole_model()); }},
    {"robust", [] { return stabilize(StabilizerOptions::robust()); }},
    {"unbounded", [] { return stabilize({.gamma1 = 0.999, .gamma2 = 0.0, .bias_correction = false}); }},
    {"clip", [] { return clip_by_global_norm(1.0); }},
    {"chain",
     [] {
       return chain(record_norms(4.0, Units::per_row()), clip_by_global_norm(1.0),
                    stabilize({}, Units::by_name({{"all", {"*"}}})), stabilize());
     }},
    {"zclip", [] { return zclip({.warmup_steps = 4}); }},
    {"adagc", [] { return adagc({.warmup_steps = 4}); }},
    {"adagc_model", [] { return adagc({.warmup_steps = 4, .whole_model = true}); }},
    {"spike_aware", [] { return spike_aware_clip({.threshold = 2.0, .quiet_steps = 2}); }},
    {"stable_spam", [] { return chain(adaptive_value_clip(), adaptive_norm({.total_steps = 9})); }},
};

inline ParameterSet state_parameters() {
  return testing::parameter_set({{"a", {2, 3}}, {"b", {4}}, {"wide", {5, 2}}, {"g", {}}});
}

/// One update with gradients that depend on `step` alone.
inline Status step(GradientTransform& transform, int step) {
  testing::Gradients gradients(transform.parameters(), DType::float64);
  for (std::size_t t = 0; t < transform.parameters().size(); ++t) {
    const auto count = static_cast<std::size_t>(element_count(transform.parameters()[t].sizes));
    testing::Values values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] =
          (i % 2 ? -0.5 : 0.25) * static_cast<double>((i + t) % 5 + 1) * (step % 5 == 4 ? 1e200 : 1.0);
    gradients.set(t, values);
  }
  return transform.update(gradients.refs()).status();
}

}  // namespace gradstab::fuzz
