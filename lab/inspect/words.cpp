#include "lab/inspect/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gradstab/bounds.hpp"
#include "lab/inspect/experience.hpp"

namespace gradstab::lab::inspect {
namespace {

bool is_adam(const std::string& optimizer) {
  return optimizer.find("adam") != std::string::npos || optimizer.find("Adam") != std::string::npos;
}

std::string stride_sentence(const Findings& findings) {
  const Overview& o = findings.overview;
  if (findings.facts.step_name.empty())
    return "It numbers no steps: lines are counted, and taken for steps in a row.";
  if (o.records < 2) return "It has a single record.";
  if (o.stride <= 1) return "Every step is logged.";
  return fmt::format("One step in {} is logged{}; what lies between is not in it, spikes included.", o.stride,
                     o.stride_share < 0.9
                         ? fmt::format(" ({} of the time, otherwise irregular)", percent(o.stride_share))
                         : "");
}

std::string clipping_sentence(const Findings& findings) {
  const Overview& o = findings.overview;
  if (o.plateau) {
    return fmt::format("The norms are those after clipping at {}: {} of them lie there and none above.",
                       number_text(*o.plateau), percent(o.plateau_share));
  }
  std::string text = findings.facts.clipping.empty()
                         ? "The log does not say whether the norms are those before or after clipping. No "
                           "plateau of largest "
                           "norms at a round number suggests that they were clipped."
                         : fmt::format("The norms are those {}.", findings.facts.clipping);
  if (findings.facts.clip_at) {
    text += *findings.facts.clip_at > 0.0
                ? fmt::format(" The run clipped at {}.", number_text(*findings.facts.clip_at))
                : std::string(" The run did not clip.");
  }
  return text;
}

std::string optimizer_sentence(const Findings& findings) {
  const TraceFacts& facts = findings.facts;
  std::string text = facts.optimizer.empty() ? std::string("Which optimizer it was is not in the log.")
                                             : fmt::format("Optimizer: {}", facts.optimizer);
  if (!facts.optimizer.empty())
    text += facts.beta2 ? fmt::format(", beta2 {:g}.", *facts.beta2) : std::string(".");
  if (!facts.transform.empty()) text += fmt::format(" Transform: {}.", facts.transform);
  return text;
}

Section seen(const Findings& findings) {
  const Overview& o = findings.overview;
  const TraceFacts& facts = findings.facts;
  Section section{"What the log shows", {}};
  auto& s = section.sentences;
  s.push_back(
      fmt::format("{}: {}, steps {} to {}; norm '{}'{}{}.", facts.format,
                  count_of(o.records, "record", "records"), grouped(o.first_step), grouped(o.last_step),
                  facts.norm_name, facts.squared ? " (squared: its root is used)" : "",
                  facts.loss_name.empty() ? ", no loss" : fmt::format(", loss '{}'", facts.loss_name)));
  s.push_back(facts.tensors.empty() ? std::string("The norm is that of the whole model.")
                                    : fmt::format("Norms of {} beside that of the whole model.",
                                                  count_of(static_cast<std::int64_t>(facts.tensors.size()),
                                                           "tensor", "tensors")));
  s.push_back(stride_sentence(findings));
  s.push_back(clipping_sentence(findings));
  s.push_back(optimizer_sentence(findings));
  if (!facts.averaging.empty()) s.push_back(fmt::format("A norm is {}.", facts.averaging));
  if (o.nonfinite > 0) {
    s.push_back(
        fmt::format("{} no finite number. With loss scaling (fp16) single ones are its overflow check.",
                    count_of(o.nonfinite, "norm is", "norms are")));
  }
  if (o.zeros > 0)
    s.push_back(
        fmt::format("{} zero; medians are those of the others.", count_of(o.zeros, "norm is", "norms are")));
  if (facts.fell_back > 0) {
    s.push_back(
        fmt::format("The steps fall back {}: the run went on from an earlier one. Records are taken in the "
                    "order of the log.",
                    facts.fell_back == 1 ? "once" : fmt::format("{} times", facts.fell_back)));
  }
  if (facts.repeated > 0)
    s.push_back(fmt::format("{} of a step that was there already; the first counts.",
                            count_of(facts.repeated, "record is", "records are")));
  if (facts.without_norm > 0)
    s.push_back(
        fmt::format("{} a loss and no norm.", count_of(facts.without_norm, "record has", "records have")));
  for (const std::string& note : facts.notes) s.push_back(note);
  return section;
}

Section spikes(const Findings& findings) {
  Section section{"Spikes", {}};
  auto& s = section.sentences;
  s.push_back(
      fmt::format("An event is a norm above {:g} times the median of the {} before it; such norms within {} "
                  "records are one event.",
                  kSpikeRatio, kMedianWindow, kNear));
  if (findings.event_count == 0) {
    s.emplace_back("There is none.");
  } else {
    std::vector<double> sizes;
    std::int64_t bursts = 0, nonfinite = 0;
    for (const Event& event : findings.events) {
      if (std::isfinite(event.size)) sizes.push_back(event.size);
      bursts += event.spikes >= kBurst ? 1 : 0;
      nonfinite += event.nonfinite ? 1 : 0;
    }
    std::ranges::sort(sizes);
    std::string text = count_of(findings.event_count, "event", "events");
    if (!sizes.empty())
      text += fmt::format(", the largest of {} medians, half of them above {}", number_text(sizes.back()),
                          number_text(sizes[sizes.size() / 2]));
    if (std::isfinite(findings.spacing))
      text += fmt::format("; {:.0f} steps from one to the next (median)", findings.spacing);
    text += fmt::format("; {} with at least {} such norms",
                        bursts == 0 ? "none" : count_of(bursts, "burst", "bursts"), kBurst);
    if (nonfinite > 0) text += fmt::format("; {} with NaN or infinity", nonfinite);
    s.push_back(text + ".");
    s.push_back(fmt::format(
        "The loss (risen by {:g} % and {:g} standard deviations above the {} before; up at the median of "
        "records +{} to +{}): "
        "did not move {}, rose and recovered {}, rose and stayed {}, rose as the log ends {}, unknown {}.",
        100 * kLossShare, kLossDeviations, kLossesBefore, kLossAfterFirst, kLossAfterLast,
        findings.events_with(LossFate::unmoved), findings.events_with(LossFate::recovered),
        findings.events_with(LossFate::stayed), findings.events_with(LossFate::open),
        findings.events_with(LossFate::unknown)));
    if (findings.event_count > static_cast<std::int64_t>(findings.events.size()))
      s.push_back(fmt::format("Only the first {} events are kept.",
                              grouped(static_cast<std::int64_t>(findings.events.size()))));
  }
  if (std::isfinite(findings.spread_low)) {
    s.push_back(fmt::format("Nine in ten norms lie between {} and {} times the running median.",
                            number_text(findings.spread_low), number_text(findings.spread_high)));
    s.push_back(fmt::format("The running median goes from {} to {}.", number_text(findings.first_median),
                            number_text(findings.last_median)));
  }
  return section;
}

std::string held(const HeldSteps& steps, std::string_view cause) {
  if (steps.steps == 0) return fmt::format("{}: none", cause);
  return fmt::format("{}: {} (longest span {} from step {} on)", cause,
                     count_of(steps.steps, "step", "steps"), grouped(steps.longest),
                     grouped(steps.longest_begin));
}

std::string bound_text(double bound) {
  return std::isfinite(bound) ? number_text(bound) : "without bound";
}

Section holding(const Findings& findings) {
  const InspectSettings& settings = findings.settings;
  Section section{fmt::format("GradientStabilizer on these norms (gamma1 {:g}, gamma2 {:g})", settings.gamma1,
                              settings.gamma2),
                  {}};
  auto& s = section.sentences;
  const auto rule = [&](const char* name, const Holding& h, double bound) {
    s.push_back(fmt::format(
        "{}: stabilized norm from {} to {} (bound {}). Steps below half of the usual length, of {}: {}; {}.",
        name, number_text(h.lowest), number_text(h.highest), bound_text(bound), grouped(findings.steps),
        held(h.after_spikes, "after spikes"), held(h.falling, "as norms fell")));
  };
  rule("Published rule", findings.published, findings.published_bound);
  rule("Robust moments", findings.robust, findings.robust_bound);
  if (findings.largest_event > 0.0) {
    const double size = findings.largest_event;
    if (size > 1.0) {
      s.push_back(
          fmt::format("After a spike of {} medians and long constant norms the published rule needs {} steps "
                      "until it is back at half.",
                      number_text(size), grouped(recovery_steps(settings.published(), size, kHeldBelow))));
    }
  }
  if (const TensorHolding& tensors = findings.tensors; tensors.norms > 0) {
    const auto share = [&](std::int64_t held_norms) {
      return percent(static_cast<double>(held_norms) / static_cast<double>(tensors.norms));
    };
    std::string text = fmt::format(
        "With moments for each tensor, as the method is published, and by the logged records alone: of the "
        "tensors' "
        "norms the published rule holds {} below half, robust moments {}",
        share(tensors.held_published), share(tensors.held_robust));
    if (!tensors.most_held.empty())
      text += fmt::format("; most of all {} ({} of its norms)", tensors.most_held,
                          percent(tensors.most_held_share));
    s.push_back(text + ".");
  }
  if (findings.adoption_count == 0) {
    s.emplace_back("Robust moments adopt no change of scale.");
  } else {
    std::string text = fmt::format("Robust moments adopt {}:",
                                   count_of(findings.adoption_count, "change of scale", "changes of scale"));
    constexpr std::size_t kMost = 5;
    for (std::size_t i = 0; i < findings.adoptions.size() && i < kMost; ++i) {
      text += fmt::format("{} step {} (to {} medians)", i > 0 ? "," : "", grouped(findings.adoptions[i].step),
                          number_text(findings.adoptions[i].change));
    }
    s.push_back(text + (findings.adoption_count > static_cast<std::int64_t>(kMost) ? ", ..." : "") + ".");
  }
  if (findings.halving.records > 0) {
    s.push_back(
        fmt::format("The running median halves within {:.0f} steps in {}, first at step {}, last at step {}.",
                    settings.memory(), count_of(findings.halving.records, "record", "records"),
                    grouped(findings.halving.first_step), grouped(findings.halving.last_step)));
  }
  if (!findings.facts.transform.empty() && findings.facts.transform != "none")
    s.push_back(fmt::format(
        "The run itself had the transform {}: what is computed here is for the norms that it met.",
        findings.facts.transform));
  if (!findings.logs_every_step()) s.push_back(reservation(findings, Memory::long_term));
  return section;
}

Section experience_section(const Findings& findings) {
  using namespace experience;
  Section section{fmt::format("From other runs ({})", kSource), {}};
  auto& s = section.sentences;
  s.push_back(
      fmt::format("No event in {:g} % of the runs; events that the loss did not follow in {:g} %; loss up "
                  "and recovered {:g} %; lasting, or NaN, {:g} %.",
                  kNoEvent, kLossUnmoved, kRecovered, kLasting));
  if (findings.event_count > 0) {
    s.push_back(
        fmt::format("The loss is still up 3 to 13 records later: {:g} % after a norm of 3 to 10 medians with "
                    "an ordinary loss (as anywhere), "
                    "{:g} % where the loss rose at that record, {:g} % above 10 medians.",
                    kUpAfterOrdinaryLoss, kUpAfterRisenLoss, kUpAboveTen));
  }
  if (findings.events_with(LossFate::stayed) > 0)
    s.push_back(fmt::format(
        "A lasting event comes again in another run of the same kind in {:g} %, against {:g} % otherwise.",
        kComesAgain, kComesOtherwise));
  s.push_back(
      fmt::format("The published rule is held down by falling norms at the start (below half in {:g} % of "
                  "the runs, median {} steps) far more than by spikes ({:g} %, median {} steps).",
                  kHeldByFalling, grouped(kFallingSteps), kHeldBySpikes, grouped(kSpikeSteps)));
  const bool adam = findings.facts.optimizer.empty() || is_adam(findings.facts.optimizer);
  if (adam) {
    std::string text = fmt::format(
        "Behind Adam with beta2 {:g} no method changes the size of the step by more than {:g} %; with {:g} "
        "they do.",
        kShortBeta2, kShortBeta2Change, kLongBeta2);
    if (findings.facts.beta2 && *findings.facts.beta2 <= kShortBeta2)
      text += fmt::format(" This run has beta2 {:g}.", *findings.facts.beta2);
    s.push_back(text);
  }
  s.emplace_back("A trace shows factors, not the loss that would have followed.");
  return section;
}

Section tensors(const Findings& findings) {
  Section section{"Tensors that moved first", {}};
  constexpr int kMost = 10;
  int shown = 0;
  for (const Event& event : findings.events) {
    if (event.tensors.empty()) continue;
    if (++shown > kMost) break;
    std::string text = fmt::format("Event at step {}:", grouped(event.step));
    for (std::size_t i = 0; i < event.tensors.size(); ++i) {
      const MovedTensor& tensor = event.tensors[i];
      text += fmt::format("{} {}", i > 0 ? "," : "", tensor.name);
      text += std::isnan(tensor.ratio) ? std::string(" (the largest norm)")
                                       : fmt::format(" ({} times its average, since step {})",
                                                     number_text(tensor.ratio), grouped(tensor.step));
    }
    section.sentences.push_back(text + ".");
  }
  if (shown > kMost) section.sentences.emplace_back("Later events are in --json.");
  return section;
}

}  // namespace

std::string number_text(double value) {
  if (std::isnan(value)) return "no number";
  if (std::isinf(value)) return value > 0 ? "infinity" : "-infinity";
  if (value != 0.0 && (std::abs(value) >= 1e6 || std::abs(value) < 1e-3)) return fmt::format("{:.3e}", value);
  if (std::abs(value) >= 1000.0) return grouped(std::llround(value));
  return fmt::format("{:.4g}", value);
}

std::string percent(double share) {
  if (share <= 0.0) return "none";
  const double value = 100.0 * share;
  if (value < 0.1) return "under 0.1 %";
  return value < 10.0 ? fmt::format("{:.1f} %", value) : fmt::format("{:.0f} %", value);
}

std::string count_of(std::int64_t count, std::string_view one, std::string_view many) {
  return count == 1 ? fmt::format("one {}", one) : fmt::format("{} {}", grouped(count), many);
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string reservation(const Findings& findings, Memory memory) {
  if (findings.logs_every_step() || memory == Memory::none) return "";
  const std::string every = findings.facts.step_name.empty()
                                ? std::string("lines are taken for steps in a row")
                                : fmt::format("one step in {} is logged", findings.overview.stride);
  if (memory == Memory::short_term)
    return fmt::format("A hint only: {}, and this rule remembers few steps.", every);
  if (findings.facts.step_name.empty()) return fmt::format("Approximate: {}.", every);
  return fmt::format("Approximate: {}, and the norm is held at the running median in between.", every);
}

std::vector<Section> sections_of(const Findings& findings) {
  std::vector<Section> sections = {seen(findings)};
  if (findings.overview.finite > 0) {
    sections.push_back(spikes(findings));
    sections.push_back(holding(findings));
    if (Section moved = tensors(findings); !moved.sentences.empty()) sections.push_back(std::move(moved));
  }
  sections.push_back(experience_section(findings));
  return sections;
}

}  // namespace gradstab::lab::inspect
