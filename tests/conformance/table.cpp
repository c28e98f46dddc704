#include "conformance/table.hpp"

#include <algorithm>
#include <vector>

#include "gradstab/methods.hpp"

namespace gradstab::testing {
namespace {

constexpr double kSpikeRatio = 4.0;

const std::vector<TransformRow>& rows() {
  static const std::vector<TransformRow> list = [] {
    std::vector<TransformRow> all = {
        {"stabilize", [] { return stabilize(); }},
        {"stabilize_paper", [] { return stabilize(StabilizerOptions::paper()); }},
        {"stabilize_released", [] { return stabilize(StabilizerOptions::released()); }},
        {"stabilize_robust", [] { return stabilize(StabilizerOptions::robust()); }},
        {"stabilize_per_row", [] { return stabilize({}, Units::per_row()); }},
        {"stabilize_groups", [] { return stabilize({}, some_groups()); }},
        {"stabilize_model", [] { return stabilize({}, Units::whole_model()); }},
        {"stabilize_robust_per_row", [] { return stabilize(StabilizerOptions::robust(), Units::per_row()); }},
        {"clip_by_global_norm", [] { return clip_by_global_norm(1.0); }},
        {"clip_by_max_abs", [] { return clip_by_global_norm(GlobalNormOptions::largest_entry(0.125)); }},
        {"clip_by_p_norm", [] { return clip_by_global_norm({.max_norm = 1.0, .p = 3.0}); }},
        {"clip_by_value", [] { return clip_by_value(0.1); }, true},
        {"adaptive_clip", [] { return adaptive_clip(); }},
        {"adaptive_clip_some",
         [] {
           return adaptive_clip({.clip_factor = 0.4, .exclude = {"t3", "t8"}});
         }},
        {"zclip", [] { return zclip({.warmup_steps = 4}); }},
        {"zclip_mean", [] { return zclip({.warmup_steps = 3, .target = ZClipTarget::mean}); }},
        {"zclip_percentile", [] { return zclip({.warmup_steps = 3, .mode = ZClipMode::percentile}); }},
        {"adagc", [] { return adagc({.warmup_steps = 3}); }},
        {"adagc_per_tensor", [] { return adagc({.warmup_steps = 3, .global_warmup = false}); }},
        {"adagc_model", [] { return adagc({.warmup_steps = 3, .whole_model = true}); }},
        {"spike_aware_clip",
         [] {
           return spike_aware_clip({.threshold = 2.0, .beta2 = 0.9, .reset_interval = 7, .quiet_steps = 2});
         },
         true},
        {"adaptive_value_clip", [] { return adaptive_value_clip({.theta = 0.9}); }, true},
        {"adaptive_norm", [] { return adaptive_norm(); }},
        {"adaptive_norm_schedule", [] { return adaptive_norm({.total_steps = 8}, some_groups()); }},
        {"chain_stable_spam", [] { return chain(adaptive_value_clip(), adaptive_norm()); }, true},
        {"chain_every_kind",
         [] {
           return chain(adagc({.warmup_steps = 2}), clip_by_value(0.2), record_norms(), adaptive_clip(),
                        spike_aware_clip({.threshold = 3.0, .quiet_steps = 1}), zclip({.warmup_steps = 3}),
                        adaptive_value_clip({.theta = 0.5}), stabilize({}, Units::per_row()));
         },
         true},
        {"normalize", [] { return normalize(); }},
        {"normalize_per_row", [] { return normalize(Units::per_row()); }},
        {"normalize_groups", [] { return normalize(some_groups()); }},
        {"scale_by", [] { return scale_by(0.3); }},
        {"record_norms", [] { return record_norms(); }},
        {"record_norms_per_row", [] { return record_norms(kSpikeRatio, Units::per_row()); }},
        {"chain_of_none", [] { return chain(); }},
        {"chain_clip_stabilize", [] { return chain(clip_by_global_norm(1.0), stabilize()); }},
        {"chain_stabilize_clip", [] { return chain(stabilize(), clip_by_global_norm(1.0)); }},
        {"chain_norms_value_clip",
         [] {
           return chain(stabilize({}, Units::per_row()), clip_by_value(0.05), record_norms(),
                        clip_by_global_norm(1.0), scale_by(0.5));
         },
         true},
        {"chain_of_all",
         [] {
           return chain(record_norms(kSpikeRatio, some_groups()), clip_by_global_norm(2.0),
                        stabilize(StabilizerOptions::robust(), Units::per_row()), stabilize(),
                        stabilize({}, Units::whole_model()),
                        clip_by_global_norm(GlobalNormOptions::largest_entry(0.125)));
         }},
    };
    for (const MethodInfo& info : methods()) {
      if (std::ranges::count(all, info.name, &TransformRow::name) > 0) continue;
      all.push_back({std::string(info.name), [name = info.name] { return transform_from_text(name).value(); },
                     info.element_wise});
    }
    return all;
  }();
  return list;
}

}  // namespace

std::span<const TransformRow> transforms() {
  return rows();
}

Units some_groups() {
  return Units::by_name({{"early", {"t0", "t2", "t3"}}, {"late", {"t*7", "t8"}}});
}

}  // namespace gradstab::testing
