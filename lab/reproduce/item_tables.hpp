// The tables of an item's page.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lab/reproduce/judge.hpp"
#include "lab/reproduce/published.hpp"

namespace gradstab::lab {

/// HTML: one word in the colour of the verdict.
std::string verdict_badge(Verdict verdict);

/// HTML: what a claim says and, for each horizon, its effects: mean, interval, seeds, verdict.
std::string claim_section(const ClaimResult& result, const TaskInfo& measures);

/// HTML: a row for each arm in each context of a horizon: score and its spread, the other metrics, difference
/// to no method, what diverged, spikes, and the published numbers where there are any.
std::string configuration_table(const Records& records, const std::string& horizon,
                                const std::optional<PublishedTable>& published);

}  // namespace gradstab::lab
