// Numbers of a seed: what claims are stated in.
#pragma once

#include <span>
#include <string>

#include "lab/reproduce/records.hpp"

namespace gradstab::lab {

/// The runs of one arm and one seed that a measure is taken of: one per context.
using RunsOfSeed = std::span<const ItemRun* const>;

/// One number of them. NaN if they have none.
using Measure = double (*)(RunsOfSeed runs);

// Of scores, all are of their cost (lab/train/metric.hpp), so that lower is better whatever the score is.

/// Mean judged score.
double mean_score(RunsOfSeed runs);
/// The best and the worst judged score over the contexts.
double best_score(RunsOfSeed runs);
double worst_score(RunsOfSeed runs);
/// How much the worst judged score over the contexts costs more than the best.
double score_range(RunsOfSeed runs);
/// How much more the judged score costs than the best of the contexts, in the mean over them.
double excess_score(RunsOfSeed runs);
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
/// Updates that are norm spikes, per 1,000 of those that are recorded. NaN for a run without any.
double norm_spikes_per_1000(const ItemRun& run);
/// The largest quotient of a raw norm and the median of the 50 before it; infinite if a norm is not finite.
/// Of the updates that can be norm spikes; NaN without any.
double largest_norm_ratio(const ItemRun& run);
/// Whether the training loss is so far above the median of the 50 before it as TaskInfo::loss_spike says;
/// otherwise likewise. Never where that is 0.
bool is_loss_spike(const ItemRun& run, std::size_t index);

/// What the measures mean, for the foot of a page.
std::string measure_definitions(const TaskInfo& measures);

}  // namespace gradstab::lab
