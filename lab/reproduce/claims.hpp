// What each item is asked.
#pragma once

#include <string>
#include <vector>

#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/claim.hpp"

namespace gradstab::lab {

// Units of effects that several files of claims have.
inline constexpr const char* kNats = "nats per token";
inline constexpr const char* kPoints = "percentage points of top-1 lost";
inline constexpr const char* kMse = "MSE";
inline constexpr const char* kReturn = "return lost";

// Names of arms (arms.hpp) that many claims compare.
/// The clipping methods of the paper's tables.
inline const std::vector<std::string> kClips = {"clip_by_value", "clip", "adaptive_clip", "zclip"};
/// Every other row of them.
inline const std::vector<std::string> kRivals = {"none", "clip_by_value", "clip", "adaptive_clip", "zclip"};

// Of the paper; the numbers of the sources are those of the list "Claims in words" in docs/reproduction.md.
std::vector<Claim> figure_1_claims();
std::vector<Claim> figure_4_claims();
std::vector<Claim> figure_7_claims();
std::vector<Claim> table_1_claims();
std::vector<Claim> table_4_claims();
std::vector<Claim> figure_5_claims();
std::vector<Claim> figure_6_claims();
std::vector<Claim> figure_9_claims();
std::vector<Claim> table_2_claims();
std::vector<Claim> table_3_claims();
std::vector<Claim> table_9_claims();
std::vector<Claim> figure_3_claims();
std::vector<Claim> figure_10_claims();

// Our own.
std::vector<Claim> spike_injection_claims();
std::vector<Claim> freeze_claims();
std::vector<Claim> instability_claims();
std::vector<Claim> nan_injection_claims();

}  // namespace gradstab::lab
