#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {
namespace {

/// The recipe's own clip is none of the paper's six.
const std::vector<std::string> kBeside = {"clip_half", "normalize", "beta2", "robust"};

Settings in(const std::string& environment) {
  return {{"environment", environment}};
}

}  // namespace

std::vector<Claim> figure_3_claims() {
  std::vector<Claim> claims;
  for (const auto& [optimizer, text] : {std::pair("adamw", "AdamW"), std::pair("adam", "Adam")})
    claims.push_back(
        {std::string("With ") + text + ", a higher return than without it and with every clipping rival",
         "the paper's figure 3", kReturn,
         against(mean_score, kMethod, kRivals, kBeside, {{"optimizer", optimizer}})});
  claims.push_back({"The recipe's clip of 0.5, which acts on every update, costs return",
                    kOurs,
                    kReturn,
                    {compared(mean_score, "none", "clip_half", "no method against norm clip 0.5, AdamW",
                              {{"optimizer", "adamw"}}),
                     compared(mean_score, "none", "clip_half", "no method against norm clip 0.5, Adam",
                              {{"optimizer", "adam"}})}});
  return claims;
}

std::vector<Claim> figure_10_claims() {
  return {
      {"On Ant, a higher return than without it and with every clipping rival", "the paper's figure 10",
       kReturn, against(mean_score, kMethod, kRivals, kBeside, in("Ant-v4"))},
      {"On Hopper, a higher return than without it and with every clipping rival", "the paper's figure 10",
       kReturn, against(mean_score, kMethod, kRivals, kBeside, in("Hopper-v4"))},
      {"On Walker2d, a higher return than with every clipping rival", "the paper's figure 10", kReturn,
       against(mean_score, kMethod, kClips, kBeside, in("Walker2d-v4"))},
  };
}

}  // namespace gradstab::lab
