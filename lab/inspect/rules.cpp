#include "lab/inspect/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "gradstab/methods.hpp"

namespace gradstab::lab::inspect {
namespace {

/// The text of stabilize with these settings, without those that are the defaults.
Result<std::string> text_of(const StabilizerOptions& options) {
  const MethodText all{"stabilize",
                       {{"gamma1", setting_text(options.gamma1)},
                        {"gamma2", setting_text(options.gamma2)},
                        {"robust_kappa", setting_text(options.robust_kappa)}}};
  const auto named = without_defaults(std::span(&all, 1));
  if (!named) return named.status();
  return to_text(*named);
}

/// A limit that a person would set: three digits.
double rounded(double limit) {
  return std::strtod(fmt::format("{:.3g}", limit).c_str(), nullptr);
}

}  // namespace

Decision Rules::Stabilizer::step(double raw) {
  const Decision decision = decide(options, bias_correction_at(options, moments.step + 1), moments, raw);
  norm = decision.stabilized_norm;
  return decision;
}

Result<Rules> Rules::create(const InspectSettings& settings, double median) {
  GRADSTAB_RETURN_IF_ERROR(settings.validate());
  const auto published = text_of(settings.published());
  if (!published) return published.status();
  const auto robust = text_of(settings.robust());
  if (!robust) return robust.status();
  const double limit = std::isfinite(median) && median > 0.0 ? rounded(kClipMedians * median) : kClipMedians;
  Rules rules;
  rules.list_ = {{"published", "published rule", *published, Memory::long_term},
                 {"robust", fmt::format("robust moments, kappa {:g}", settings.robust_kappa), *robust,
                  Memory::long_term},
                 {"clip_1", "norm clip at 1", "clip_by_global_norm", Memory::none},
                 {"clip_medians", fmt::format("norm clip at {:g} medians", kClipMedians),
                  fmt::format("clip_by_global_norm(max_norm={})", setting_text(limit)), Memory::none},
                 {"zclip", "ZClip", "zclip", Memory::short_term},
                 {"adagc", "AdaGC", "adagc", Memory::short_term}};
  rules.stabilizers_ = {{settings.published()}, {settings.robust()}};
  for (std::size_t i = rules.stabilizers_.size(); i < kRules; ++i) {
    auto transform = transform_from_text(rules.list_[i].text);
    if (!transform) return transform.status();
    // One tensor that is the whole model. Only its norm is ever looked at.
    auto model = ParameterSet::create({{"model", {1}}});
    if (!model) return model.status();
    GRADSTAB_RETURN_IF_ERROR(transform->init(*std::move(model)));
    rules.transforms_.push_back(*std::move(transform));
  }
  rules.factors_.resize(kRules);
  return rules;
}

std::span<const double> Rules::step(double norm) {
  adopted_ = false;
  if (!std::isfinite(norm) || norm < 0.0) {
    std::ranges::fill(factors_, std::nan(""));
    for (Stabilizer& each : stabilizers_) each.norm = std::nan("");
    return factors_;
  }
  for (std::size_t i = 0; i < stabilizers_.size(); ++i) {
    Stabilizer& each = stabilizers_[i];
    factors_[i] = 1.0;
    each.norm = std::nan("");
    if (norm == 0.0) continue;
    const std::int64_t before = each.moments.step;
    factors_[i] = each.step(norm).factor;
    if (i == kRobust) adopted_ = each.moments.step != before + 1;
  }
  for (std::size_t i = 0; i < transforms_.size(); ++i) {
    const double squared = norm * norm;
    const auto report = transforms_[i].decide(std::span(&squared, 1));
    factors_[stabilizers_.size() + i] = report ? report->tensors[0].factor : std::nan("");
  }
  return factors_;
}

void Rules::hold(double norm, std::int64_t steps, const std::function<void(double, double)>& each) {
  for (std::int64_t i = 0; i < steps; ++i) {
    for (Stabilizer& stabilizer : stabilizers_) stabilizer.step(norm);
    each(published_norm(), robust_norm());
  }
}

}  // namespace gradstab::lab::inspect
