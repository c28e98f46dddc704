#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {
namespace {

/// A disturbance and the contexts that have it.
struct Disturbance {
  std::string key;
  std::string value;
  Settings where;
};

/// The loss of an arm's disturbed runs less that of its undisturbed ones: what the disturbance costs it.
std::vector<Term> price(const std::string& arm, const Disturbance& disturbance, double weight = 1.0) {
  return {{weight, mean_score, arm, joined(disturbance.where, {{disturbance.key, disturbance.value}})},
          {-weight, mean_score, arm, joined(disturbance.where, {{disturbance.key, "no"}})}};
}

Effect lower_price(const std::string& arm, const std::string& rival, const Disturbance& disturbance,
                   const std::string& label) {
  Effect effect{label, price(arm, disturbance)};
  for (const Term& term : price(rival, disturbance, -1.0)) effect.terms.push_back(term);
  return effect;
}

std::vector<Effect> lower_prices(const std::string& arm, const std::vector<std::string>& rivals,
                                 const std::vector<std::string>& controls, const Disturbance& disturbance) {
  std::vector<Effect> effects;
  effects.reserve(rivals.size() + controls.size());
  for (const std::string& rival : rivals)
    effects.push_back(lower_price(arm, rival, disturbance, "against " + arm_named(rival).label));
  for (const std::string& control : controls) {
    effects.push_back(lower_price(arm, control, disturbance, "against " + arm_named(control).label));
    effects.back().control = true;
  }
  return effects;
}

/// At most `limit` above the undisturbed runs.
Effect price_below(double limit, const std::string& arm, const std::string& label,
                   const Disturbance& disturbance) {
  return {label, price(arm, disturbance), -limit};
}

}  // namespace

std::vector<Claim> spike_injection_claims() {
  const Disturbance spikes{"spikes", "1in100", {}};
  const std::vector<std::string> rivals = {"none",  "clip_by_value", "clip", "adaptive_clip",
                                           "zclip", "adagc",         "spam", "stable_spam"};
  const std::vector<std::string> controls = {"normalize", "beta2"};
  return {
      {"Spikes cost the published rule less loss than they cost without it", kOurs, kNats,
       lower_prices(kMethod, {"none"}, {}, spikes)},
      {"Spikes cost the published rule less loss than any rival", kOurs, kNats,
       lower_prices(kMethod, rivals, controls, spikes)},
      {"With robust moments they cost less than with the published rule", kOurs, kNats,
       lower_prices("robust", {kMethod}, controls, spikes)},
      {"With robust moments, at most 0.02 nats",
       kOurs,
       "nats per token, less 0.02",
       {price_below(0.02, "robust", "robust moments", spikes)}},
      {"Spikes throw the published rule back by fewer updates than any rival", kOurs, "updates",
       against(lost_updates, kMethod, rivals, controls)},
      {"With robust moments by fewer updates than the published rule", kOurs, "updates",
       against(lost_updates, "robust", {kMethod}, controls)},
      {"Lower loss than every rival although there are spikes", kOurs, kNats,
       against(mean_score, kMethod, rivals, controls, {{spikes.key, spikes.value}})},
  };
}

std::vector<Claim> freeze_claims() {
  std::vector<Claim> claims;
  for (const char* optimizer : {"sgd", "adamw"}) {
    const std::string shown = std::string(optimizer) == "sgd" ? "SGD" : "AdamW";
    std::vector<Effect> cheaper;
    std::vector<Effect> unharmed;
    for (const char* size : {"10", "100", "1000"}) {
      const Disturbance spike{"spike", size, {{"optimizer", optimizer}}};
      const std::string label = std::string("a spike of ") + size;
      cheaper.push_back(lower_price("robust", kMethod, spike, label));
      unharmed.push_back(price_below(0.02, "robust", label, spike));
    }
    claims.push_back(
        {"Behind " + shown + ", one spike costs less loss with robust moments than with the published rule",
         kOurs, kNats, std::move(cheaper)});
    claims.push_back({"Behind " + shown + ", it throws training back by fewer updates with robust moments",
                      kOurs,
                      "updates",
                      {compared(lost_updates, "robust", kMethod, "in the mean over the spikes",
                                {{"optimizer", optimizer}})}});
    claims.push_back({"Behind " + shown + ", with robust moments one spike costs at most 0.02 nats", kOurs,
                      "nats per token, less 0.02", std::move(unharmed)});
  }
  return claims;
}

std::vector<Claim> instability_claims() {
  const std::vector<std::pair<std::string, std::string>> harsh = {{"rate", "high rate"},
                                                                  {"rate+warmup", "high rate, no warm-up"},
                                                                  {"rate+fp4", "high rate, FP4"},
                                                                  {"rate+depth", "high rate, twice as deep"}};
  const Settings calm = {{"regime", "calm"}};
  std::vector<Effect> lower;
  std::vector<Effect> fewer_spikes;
  std::vector<Effect> larger_gain;
  for (const auto& [regime, label] : harsh) {
    const Settings where = {{"regime", regime}};
    for (Effect& effect : against(mean_score, kMethod, {"none", "clip"}, {"normalize", "beta2"}, where)) {
      effect.label = label + ", " + effect.label;
      lower.push_back(std::move(effect));
    }
    fewer_spikes.push_back(compared(loss_spike_count, kMethod, "none", label, where));
    Effect gain = compared(mean_score, kMethod, "none", label, where);
    for (Term term : compared(mean_score, kMethod, "none", "", calm).terms) {
      term.weight = -term.weight;
      gain.terms.push_back(std::move(term));
    }
    larger_gain.push_back(std::move(gain));
  }
  return {
      {"Where training is calm, at most 0.01 nats worse than without it",
       kOurs,
       "nats per token, less 0.01",
       {{"calm", compared(mean_score, kMethod, "none", "", calm).terms, -0.01}}},
      {"Where it is not, lower loss than without it and with norm clip", kOurs, kNats, std::move(lower)},
      {"Where it is not, fewer loss spikes than without it", kOurs, "updates", std::move(fewer_spikes)},
      {"It gains more there than where training is calm", kOurs, kNats, std::move(larger_gain)},
  };
}

std::vector<Claim> nan_injection_claims() {
  const Disturbance nan{"nan", "1in100", {}};
  return {
      {"NaNs cost the method, which skips the tensor, at most 0.02 nats",
       kOurs,
       "nats per token, less 0.02",
       {price_below(0.02, kMethod, "published rule", nan),
        price_below(0.02, "robust", "robust moments", nan)}},
      {"Skipping the tensor costs no more than skipping the step",
       kOurs,
       kNats,
       {lower_price(kMethod, "stabilize-skip_step", nan, "published rule")}},
      {"A NaN that reaches the optimizer costs more", kOurs, kNats,
       lower_prices(kMethod, {"none", "clip", "zclip"}, {"normalize", "beta2"}, nan)},
  };
}

}  // namespace gradstab::lab
