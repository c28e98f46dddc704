#include "conformance/table.hpp"

namespace gradstab::testing {
namespace {

constexpr double kSpikeRatio = 4.0;

constexpr TransformRow kTransforms[] = {
    {"stabilize", [] { return stabilize(); }},
    {"stabilize_paper", [] { return stabilize(StabilizerOptions::paper()); }},
    {"stabilize_released", [] { return stabilize(StabilizerOptions::released()); }},
    {"stabilize_robust", [] { return stabilize(StabilizerOptions::robust()); }},
    {"stabilize_per_row", [] { return stabilize({}, Units::per_row()); }},
    {"stabilize_groups", [] { return stabilize({}, some_groups()); }},
    {"stabilize_model", [] { return stabilize({}, Units::whole_model()); }},
    {"stabilize_robust_per_row", [] { return stabilize(StabilizerOptions::robust(), Units::per_row()); }},
    {"clip_by_global_norm", [] { return clip_by_global_norm(1.0); }},
    {"clip_by_max_abs", [] { return clip_by_global_norm({.max_norm = 0.125, .max_abs = true}); }},
    {"clip_by_p_norm", [] { return clip_by_global_norm({.max_norm = 1.0, .p = 3.0}); }},
    {"clip_by_value", [] { return clip_by_value(0.1); }, true},
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
                    clip_by_global_norm({.max_norm = 0.125, .max_abs = true}));
     }},
};

}  // namespace

std::span<const TransformRow> transforms() {
  return kTransforms;
}

Units some_groups() {
  return Units::by_name({{"early", {"t0", "t2", "t3"}}, {"late", {"t*7", "t8"}}});
}

}  // namespace gradstab::testing
