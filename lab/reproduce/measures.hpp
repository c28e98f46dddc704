// Numbers of a seed: what claims are stated in.
#pragma once

#include <span>
#include <string_view>

#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

/// The runs of one arm and one seed that a measure is taken of: one per context.
using RunsOfSeed = std::span<const ItemRun* const>;

/// One number of them. NaN if they have none.
using Measure = double (*)(RunsOfSeed runs);

/// Mean judged loss, nats per token.
double mean_loss(RunsOfSeed runs);
/// The lowest and the highest judged loss over the contexts.
double best_loss(RunsOfSeed runs);
double worst_loss(RunsOfSeed runs);
/// The highest less the lowest judged loss over the contexts.
double loss_range(RunsOfSeed runs);
/// How much the judged loss lies above the lowest of the contexts, in the mean over them.
double excess_loss(RunsOfSeed runs);
/// Updates that are norm spikes, of all runs.
double norm_spike_count(RunsOfSeed runs);
/// Updates that are loss spikes, of all runs.
double loss_spike_count(RunsOfSeed runs);
/// Runs that diverged or failed.
double divergence_count(RunsOfSeed runs);
/// How far what was injected threw training back: of the run without it, the updates at which the mean of the
/// last 50 training losses was already lower than where the run with it ends; in the mean over the runs with
/// it. NaN unless exactly one of the runs is without.
double lost_updates(RunsOfSeed runs);

/// Whether the raw norm of update `index` (from 0) is more than 3 times the median of the 50 before it.
/// Updates with fewer than 20 before them never are. A norm that is not finite is one.
bool is_norm_spike(const ItemRun& run, std::size_t index);
/// Whether the training loss is more than 0.5 nats above the median of the 50 before it; otherwise likewise.
bool is_loss_spike(const ItemRun& run, std::size_t index);

/// What the measures mean, for the foot of a page.
std::string_view measure_definitions();

}  // namespace gradstab::lab
