#include <cmath>

#include "lab/inspect/experience.hpp"
#include "lab/inspect/verdict.hpp"
#include "lab/inspect/words.hpp"

namespace gradstab::lab::inspect {
namespace {

using Json = nlohmann::ordered_json;

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

template <class T>
Json optional(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json held(const HeldSteps& steps) {
  return {{"steps", steps.steps},
          {"spans", steps.spans},
          {"longest", steps.longest},
          {"longest_begin", steps.longest_begin}};
}

Json holding(const Holding& h, double bound) {
  return {{"smallest", number(h.lowest)},
          {"largest", number(h.highest)},
          {"largest_step", h.highest_step},
          {"bound", number(bound)},
          {"held_after_spikes", held(h.after_spikes)},
          {"held_as_norms_fell", held(h.falling)}};
}

Json event(const Event& e, const std::vector<Rule>& rules) {
  Json factors = Json::object();
  for (std::size_t i = 0; i < rules.size(); ++i) factors[rules[i].key] = number(e.factors[i]);
  Json moved = Json::array();
  for (const MovedTensor& tensor : e.tensors)
    moved.push_back({{"name", tensor.name}, {"step", tensor.step}, {"ratio", number(tensor.ratio)}});
  return {{"step", e.step},
          {"last_step", e.last_step},
          {"peak_step", e.peak_step},
          {"peak", number(e.peak)},
          {"median_before", number(e.median)},
          {"size", number(e.size)},
          {"spikes", e.spikes},
          {"nonfinite", e.nonfinite},
          {"loss", to_string(e.fate)},
          {"loss_before", number(e.loss_before)},
          {"loss_at", number(e.loss_at)},
          {"loss_after", number(e.loss_after)},
          {"factors", std::move(factors)},
          {"tensors", std::move(moved)}};
}

Json fates(const Findings& findings) {
  Json counts = Json::object();
  for (const LossFate fate :
       {LossFate::unmoved, LossFate::recovered, LossFate::stayed, LossFate::open, LossFate::unknown})
    counts[std::string(to_string(fate))] = findings.events_with(fate);
  return counts;
}

Json of_facts(const Findings& findings) {
  const TraceFacts& facts = findings.facts;
  return {{"format", facts.format},
          {"step", text_or_null(facts.step_name)},
          {"norm", facts.norm_name},
          {"loss", text_or_null(facts.loss_name)},
          {"squared", facts.squared},
          {"averaging", text_or_null(facts.averaging)},
          {"clipping", text_or_null(facts.clipping)},
          {"clip_at", optional(facts.clip_at)},
          {"optimizer", text_or_null(facts.optimizer)},
          {"beta2", optional(facts.beta2)},
          {"transform", text_or_null(facts.transform)},
          {"tensors", facts.tensors.size()},
          {"repeated", facts.repeated},
          {"fell_back", facts.fell_back},
          {"without_norm", facts.without_norm},
          {"notes", facts.notes}};
}

Json of_overview(const Overview& o) {
  return {{"records", o.records},
          {"finite", o.finite},
          {"nonfinite", o.nonfinite},
          {"nonfinite_at_end", o.nonfinite_at_end},
          {"zeros", o.zeros},
          {"losses", o.losses},
          {"first_step", o.first_step},
          {"last_step", o.last_step},
          {"smallest", number(o.smallest)},
          {"median", number(o.median)},
          {"largest", number(o.largest)},
          {"one_step_in", o.stride},
          {"one_step_in_share", o.stride_share},
          {"plateau", optional(o.plateau)}};
}

}  // namespace

Json to_json(const Findings& findings, const Verdict& verdict) {
  Json rules = Json::array();
  for (std::size_t i = 0; i < findings.rules.size(); ++i) {
    const Rule& rule = findings.rules[i];
    const RuleEffect& effect = findings.effects[i];
    rules.push_back({{"key", rule.key},
                     {"title", rule.title},
                     {"transform", rule.text},
                     {"reservation", text_or_null(reservation(findings, rule.memory))},
                     {"smallest_factor", number(effect.smallest)},
                     {"smallest_factor_step", effect.smallest_step},
                     {"records_shortened", effect.shortened}});
  }
  Json events = Json::array();
  for (const Event& each : findings.events) events.push_back(event(each, findings.rules));
  Json adoptions = Json::array();
  for (const Adoption& each : findings.adoptions)
    adoptions.push_back({{"step", each.step}, {"change", number(each.change)}});
  Json sections = Json::array();
  for (const Section& section : verdict.sections)
    sections.push_back({{"title", section.title}, {"sentences", section.sentences}});
  return {{"log", findings.name},
          {"verdict",
           {{"advice", to_string(verdict.advice)},
            {"headline", verdict.headline},
            {"transform", text_or_null(verdict.transform)},
            {"reasons", verdict.reasons}}},
          {"facts", of_facts(findings)},
          {"overview", of_overview(findings.overview)},
          {"settings",
           {{"gamma1", findings.settings.gamma1},
            {"gamma2", findings.settings.gamma2},
            {"robust_kappa", findings.settings.robust_kappa}}},
          {"rules", std::move(rules)},
          {"events", std::move(events)},
          {"event_count", findings.event_count},
          {"events_by_loss", fates(findings)},
          {"largest_event", findings.largest_event},
          {"spacing", number(findings.spacing)},
          {"spread", {number(findings.spread_low), number(findings.spread_high)}},
          {"running_median", {number(findings.first_median), number(findings.last_median)}},
          {"halving",
           {{"records", findings.halving.records},
            {"first_step", findings.halving.first_step},
            {"last_step", findings.halving.last_step}}},
          {"steps", findings.steps},
          {"published", holding(findings.published, findings.published_bound)},
          {"robust", holding(findings.robust, findings.robust_bound)},
          {"tensors",
           {{"norms", findings.tensors.norms},
            {"held_published", findings.tensors.held_published},
            {"held_robust", findings.tensors.held_robust},
            {"most_held", text_or_null(findings.tensors.most_held)},
            {"most_held_share", findings.tensors.most_held_share}}},
          {"adoptions", std::move(adoptions)},
          {"adoption_count", findings.adoption_count},
          {"sections", std::move(sections)},
          {"source_of_percentages", experience::kSource}};
}

}  // namespace gradstab::lab::inspect
