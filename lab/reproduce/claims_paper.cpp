#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {
std::vector<Claim> figure_1_claims() {
  return {
      {"Norm explosions vanish: fewer norm spikes of the raw gradient", "the paper's figure 1", "updates",
       against(norm_spike_count, kMethod, {"none", "clip", "zclip"}, {"normalize", "beta2", "robust"})},
      {"The lowest evaluation loss of the four at learning rate 3e-3", "the paper's figure 1", kNats,
       against(mean_score, kMethod, {"none", "clip", "zclip"}, {"normalize", "beta2", "robust"},
               {{"lr", "0.003"}})},
      {"The lowest loss at a learning rate three times as high, too", kOurs, kNats,
       against(mean_score, kMethod, {"none", "clip", "zclip"}, {"normalize", "beta2", "robust"},
               {{"lr", "0.01"}})},
      {"Fewer spikes of the training loss", "the paper's figure 1", "updates",
       against(loss_spike_count, kMethod, {"none", "clip", "zclip"}, {"normalize", "beta2", "robust"})},
  };
}

std::vector<Claim> figure_4_claims() {
  const std::vector<std::string> rivals = {"none", "clip"};
  const std::vector<std::string> controls = {"normalize", "beta2"};
  const std::vector<std::string> at_one_rate = {"none",          "clip", "zclip",      "clip_by_value",
                                                "adaptive_clip", "spam", "stable_spam"};
  return {
      {"Flatter in the learning rate: less loss above each method's own best, in the mean over the rates",
       "the paper's figure 4", kNats, against(excess_score, kMethod, rivals, controls)},
      {"Lower loss than without it at both ends",
       "the paper's figure 4",
       kNats,
       {compared(mean_score, kMethod, "none", "at the lowest rate, 1e-3", {{"lr", "0.001"}}),
        compared(mean_score, kMethod, "none", "at the highest rate, 3e-2", {{"lr", "0.03"}})}},
      {"Lower loss in FP4, each method at its own best learning rate",
       "the paper's table 1; the choice of rate is ours", kNats,
       against(best_score, kMethod, rivals, controls)},
      {"Fewer norm spikes at a high learning rate", "the paper's figure 8", "updates",
       against(norm_spike_count, kMethod, at_one_rate, controls, {{"lr", "0.01"}})},
      {"Lower loss at a high learning rate", "the paper's figure 8", kNats,
       against(mean_score, kMethod, at_one_rate, controls, {{"lr", "0.01"}})},
  };
}

std::vector<Claim> figure_7_claims() {
  constexpr double kPublishedRange = 0.02;
  const auto range = [](const std::string& label, const Settings& where) {
    return Effect{label, {{1.0, score_range, kMethod, where}}, -kPublishedRange};
  };
  const auto worst = [](const std::string& label, const std::string& rival, bool control) {
    return Effect{"worst gammas against " + label,
                  {{1.0, worst_score, kMethod, {}}, {-1.0, mean_score, rival, {}}},
                  0.0,
                  control};
  };
  return {
      {"The loss varies by less than 0.02 over gamma1 from 0.4 to 0.8 and gamma2 from 0.95 to 0.99999",
       "the paper's figure 7",
       "nats per token, less 0.02",
       {range("over gamma1, at gamma2 0.999", {{"gamma2", "0.999"}}),
        range("over gamma2, at gamma1 0.6", {{"gamma1", "0.6"}})}},
      {"Lower loss than without it and with norm clip even at the worst gammas",
       kOurs,
       kNats,
       {worst("no method", "none", false), worst("norm clip 1", "clip", false),
        worst("control: unit norm", "normalize", true),
        worst("control: no method, beta2 0.95", "beta2", true)}},
  };
}

std::vector<Claim> table_1_claims() {
  const std::vector<std::string> rivals = {"none", "clip_by_value", "clip", "adaptive_clip", "zclip"};
  const std::vector<std::string> controls = {"normalize", "beta2"};
  const auto gain = [](const std::string& precision, double weight) {
    const Settings where = {{"precision", precision}};
    return std::vector<Term>{{weight, mean_score, kMethod, where}, {-weight, mean_score, "none", where}};
  };
  Effect more_in_fp4{"gain over no method in FP4 less that in FP16", gain("fp4", 1.0)};
  for (const Term& term : gain("fp16", -1.0)) more_in_fp4.terms.push_back(term);
  return {
      {"In FP16, lower loss than without it and with every clipping rival", "the paper's table 1", kNats,
       against(mean_score, kMethod, rivals, controls, {{"precision", "fp16"}})},
      {"In FP4, lower loss than without it and with every clipping rival", "the paper's table 1", kNats,
       against(mean_score, kMethod, rivals, controls, {{"precision", "fp4"}})},
      {"More so in FP4", "the paper's table 1", kNats, {more_in_fp4}},
  };
}

std::vector<Claim> table_4_claims() {
  const std::vector<std::string> rivals = {"none", "clip_by_value", "clip", "adaptive_clip", "zclip"};
  const std::vector<std::string> controls = {"normalize", "beta2"};
  return {
      {"In front of Adam-mini, lower loss than without it and with every clipping rival",
       "the paper's table 4", kNats,
       against(mean_score, kMethod, rivals, controls, {{"optimizer", "adam_mini"}})},
      {"In front of Lion, lower loss than without it and with every clipping rival", "the paper's table 4",
       kNats, against(mean_score, kMethod, rivals, controls, {{"optimizer", "lion"}})},
  };
}

}  // namespace gradstab::lab
