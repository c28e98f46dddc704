// What other runs have shown, by which a log is put in its place. Own analysis of public logs; every number
// that is shown stands beside its source.
#pragma once

#include <string_view>

namespace gradstab::lab::inspect::experience {

inline constexpr std::string_view kSource =
    "79 public traces, 350,000 points, and 1,543 sampled runs; own analysis";

// The loss is still up 3 to 13 records later, in percent: after a norm of 3 to 10 medians with an ordinary
// loss (as anywhere), where the loss rose at that record, and after a norm above 10 medians.
inline constexpr double kUpAfterOrdinaryLoss = 1.6, kUpAfterRisenLoss = 46, kUpAboveTen = 65;

// Of the runs, in percent: no event at all; events that the loss did not follow; a loss that rose and
// recovered; a lasting rise, or NaN.
inline constexpr double kNoEvent = 48, kLossUnmoved = 41, kRecovered = 7, kLasting = 4;

// A lasting event comes again in another run of the same kind, in percent; beside it, in one whose like had
// none.
inline constexpr double kComesAgain = 62, kComesOtherwise = 2;

// The published rule below half of its usual length: in percent of the runs, and the median of the steps in
// those.
inline constexpr double kHeldByFalling = 83, kHeldBySpikes = 4;
inline constexpr int kFallingSteps = 4036, kSpikeSteps = 6515;

// By how much any method changes the size of a step behind Adam with this beta2, in percent.
inline constexpr double kShortBeta2 = 0.95, kShortBeta2Change = 14, kLongBeta2 = 0.999;

}  // namespace gradstab::lab::inspect::experience
