#include "lab/inspect/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/inspect/words.hpp"

namespace gradstab::lab::inspect {
namespace {

/// With fewer norms nothing is said of spikes.
constexpr std::int64_t kFewestToJudge = 30;
/// So many norms at the end of a log that are no numbers are the end of the run.
constexpr std::int64_t kRunEnded = 3;

/// "is one event", "are 3 events"
std::string there_are(std::int64_t events) {
  return (events == 1 ? "is " : "are ") + count_of(events, "event", "events");
}

/// Why nothing can be said; empty: it can.
std::vector<std::string> why_not(const Findings& findings) {
  const Overview& o = findings.overview;
  std::vector<std::string> reasons;
  if (o.records == o.zeros && o.records > 0) {
    reasons.emplace_back("All norms are zero. Were they read after zero_grad()?");
  } else if (o.records == o.nonfinite && o.records > 0) {
    reasons.emplace_back("No norm is a finite number, from the first record on.");
  } else if (o.negative > 0) {
    reasons.push_back(fmt::format("{} negative: '{}' is no norm.",
                                  count_of(o.negative, "value is", "values are"), findings.facts.norm_name));
  } else if (o.constant()) {
    reasons.push_back(
        fmt::format("All norms are equal, {}: they are those after a normalization, or not measured.",
                    number_text(o.largest)));
  } else if (o.finite < kFewestToJudge) {
    reasons.push_back(fmt::format("The log has {}; nothing is said of spikes by fewer than {}.",
                                  count_of(o.finite, "usable norm", "usable norms"), kFewestToJudge));
  } else if (o.plateau) {
    reasons.push_back(
        fmt::format("The norms were logged after clipping at {}: {} of them lie there and none above. What "
                    "the spikes were "
                    "before it cannot be seen; log the norm that clip_grad_norm_ returns.",
                    number_text(*o.plateau), percent(o.plateau_share)));
  }
  return reasons;
}

/// What asks for robust moments; empty: the published rule does.
std::vector<std::string> why_robust(const Findings& findings) {
  std::vector<std::string> reasons;
  const double limit = findings.settings.holding_size();
  if (findings.largest_event > limit) {
    reasons.push_back(
        fmt::format("Robust moments, because a norm of {} medians is above {:.0f}: it would hold the "
                    "published rule below half of its "
                    "usual length afterwards.",
                    number_text(findings.largest_event), limit));
  }
  if (findings.halving.records > 0) {
    reasons.push_back(fmt::format(
        "Robust moments, because the norms halve within the {:.0f} steps that gamma2 {} remembers "
        "(steps {} to {}): that would hold the published rule down.",
        findings.settings.memory(), findings.settings.gamma2, findings.halving.first_step,
        findings.halving.last_step));
  }
  return reasons;
}

void advise_trying(const Findings& findings, std::int64_t stayed, Verdict& verdict) {
  const auto robust = why_robust(findings);
  verdict.advice = Advice::try_it;
  verdict.transform = findings.rules[robust.empty() ? kPublished : kRobust].text;
  verdict.headline = "Try it: " + verdict.transform;
  if (stayed > 0) {
    verdict.reasons.push_back(fmt::format("After {} the loss rose and was still up {} to {} records later.",
                                          count_of(stayed, "event", "events"), kLossAfterFirst,
                                          kLossAfterLast));
  }
  if (findings.overview.nonfinite_at_end >= kRunEnded) {
    verdict.reasons.push_back(fmt::format("The log ends in {} norms that are no finite numbers.",
                                          findings.overview.nonfinite_at_end));
  }
  verdict.reasons.insert(verdict.reasons.end(), robust.begin(), robust.end());
  if (robust.empty()) {
    verdict.reasons.push_back(
        fmt::format("The published rule will do: no norm is above {:.0f} medians and the norms do not halve "
                    "within {:.0f} "
                    "steps.",
                    findings.settings.holding_size(), findings.settings.memory()));
  }
}

}  // namespace

std::string_view to_string(Advice advice) noexcept {
  switch (advice) {
    case Advice::cannot_tell:
      return "cannot_tell";
    case Advice::leave:
      return "leave";
    case Advice::leave_loss:
      return "leave_loss_never_followed";
    case Advice::guard:
      return "guard_is_cheap";
    case Advice::try_it:
      return "try";
  }
  return "";
}

Verdict judge(const Findings& findings) {
  Verdict verdict;
  verdict.sections = sections_of(findings);
  verdict.reasons = why_not(findings);
  if (!verdict.reasons.empty()) {
    verdict.headline = "This log cannot tell";
    return verdict;
  }
  const std::int64_t stayed = findings.events_with(LossFate::stayed);
  const std::int64_t recovered = findings.events_with(LossFate::recovered);
  const std::int64_t open = findings.events_with(LossFate::open);
  const std::int64_t unmoved = findings.events_with(LossFate::unmoved);
  if (stayed > 0 || findings.overview.nonfinite_at_end >= kRunEnded) {
    advise_trying(findings, stayed, verdict);
  } else if (findings.event_count == 0) {
    verdict.advice = Advice::leave;
    verdict.headline = "Leave it as it is";
    verdict.reasons.push_back(fmt::format("No norm is above {:g} times the median of the {} before it.",
                                          kSpikeRatio, kMedianWindow));
  } else if (unmoved > 0 && recovered == 0 && open == 0) {
    verdict.advice = Advice::leave_loss;
    verdict.headline = "Leave it as it is: the loss never followed";
    verdict.reasons.push_back(
        fmt::format("There {}. The loss can be judged after {}, and rose after none by {:g} % and {:g} "
                    "standard deviations.",
                    there_are(findings.event_count),
                    unmoved == findings.event_count ? "each" : fmt::format("{} of them", grouped(unmoved)),
                    100 * kLossShare, kLossDeviations));
  } else {
    verdict.advice = Advice::guard;
    verdict.headline = "A guard is cheap; no gain is promised";
    verdict.transform = findings.rules[kClipAtMedians].text;
    if (recovered + open > 0) {
      verdict.reasons.push_back(fmt::format(
          "The loss rose with {}, {}.", count_of(recovered + open, "event", "events"),
          open > 0 ? "of which the log does not show that any lasted" : "and came back each time"));
    } else {
      verdict.reasons.push_back(
          fmt::format("There {}, and no loss beside the norms by which it could be judged what they did.",
                      there_are(findings.event_count)));
    }
    verdict.reasons.push_back(fmt::format(
        "{} touches {} of the records and nothing else; {} needs no threshold and scales every step.",
        verdict.transform,
        percent(static_cast<double>(findings.effects[kClipAtMedians].shortened) /
                static_cast<double>(std::max<std::int64_t>(findings.overview.records, 1))),
        findings.rules[kRobust].text));
  }
  return verdict;
}

}  // namespace gradstab::lab::inspect
