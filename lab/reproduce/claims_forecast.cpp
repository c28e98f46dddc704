#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {
namespace {

const std::vector<std::string> kControls = {"normalize", "beta2", "robust"};

Settings at_level(const std::string& level) {
  return {{"corrupt_level", level}};
}

/// What the method gains over no method at `level`, beyond what it gains at `lower`: below zero if more.
Effect more_gain(const std::string& level, const std::string& lower) {
  return {"gain over no method at level " + level + " less that at level " + lower,
          {{1.0, mean_score, kMethod, at_level(level)},
           {-1.0, mean_score, "none", at_level(level)},
           {-1.0, mean_score, kMethod, at_level(lower)},
           {1.0, mean_score, "none", at_level(lower)}}};
}

std::vector<Claim> corruption_claims(const std::string& figure) {
  std::vector<Claim> claims;
  for (const char* level : {"1", "2", "3"})
    claims.push_back({"At noise level " + std::string(level) +
                          ", a lower test error than without it and with every clipping rival",
                      figure, kMse, against(mean_score, kMethod, kRivals, kControls, at_level(level))});
  claims.push_back({"The gain over no method grows with the level of the noise",
                    figure,
                    kMse,
                    {more_gain("2", "1"), more_gain("3", "2"), more_gain("3", "1")}});
  return claims;
}

}  // namespace

std::vector<Claim> figure_5_claims() {
  return {
      {"With Adam, a lower test error than without it and with every clipping rival", "the paper's figure 5",
       kMse, against(mean_score, kMethod, kRivals, kControls, {{"optimizer", "adam"}})},
      {"With AdamW, a lower test error than without it and with every clipping rival", "the paper's figure 5",
       kMse, against(mean_score, kMethod, kRivals, kControls, {{"optimizer", "adamw"}})},
  };
}

std::vector<Claim> figure_6_claims() {
  return corruption_claims("the paper's figure 6");
}

std::vector<Claim> figure_9_claims() {
  return corruption_claims("the paper's figure 9");
}

}  // namespace gradstab::lab
