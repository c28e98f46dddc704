// A trace in, everything that can be said of it out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/inspect/drift.hpp"
#include "lab/inspect/events.hpp"
#include "lab/inspect/holding.hpp"
#include "lab/inspect/overview.hpp"
#include "lab/inspect/rules.hpp"
#include "lab/inspect/settings.hpp"
#include "lab/inspect/tensors.hpp"
#include "lab/inspect/thinned.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// What a rule would have done over the whole log.
struct RuleEffect {
  double smallest = 1.0;  ///< factor
  std::int64_t smallest_step = 0;
  std::int64_t shortened = 0;  ///< records whose factor is below 0.99
};

/// A change of scale that robust moments took for a lasting one.
struct Adoption {
  std::int64_t step = 0;
  double change = 0.0;  ///< norm of the step / median before
};

/// Everything that is known of a trace, for given settings.
struct Findings {
  std::string name;
  TraceFacts facts;
  Overview overview;
  InspectSettings settings;
  std::vector<Rule> rules;
  std::vector<RuleEffect> effects;  ///< by rule

  std::vector<Event> events;                     ///< the first EventWatch::kMostEvents of them
  std::int64_t event_count = 0;                  ///< of all
  std::array<std::int64_t, kLossFates> fates{};  ///< of all, by LossFate
  double largest_event = 0.0;  ///< of all, in medians; 0 where there is none with a finite norm
  double spacing = 0.0;        ///< median of the steps from one event to the next; NaN for fewer than two

  // norm / running median: a tenth of all lies outside of these two.
  double spread_low = 0.0, spread_high = 0.0;
  double first_median = 0.0, last_median = 0.0;  ///< running medians at both ends; NaN where too few norms
  Halving halving;                               ///< within a memory of gamma2

  Holding published, robust;
  TensorHolding tensors;            ///< where there are norms of tensors
  std::int64_t steps = 0;           ///< that the rules were computed for, those between lines included
  std::vector<Adoption> adoptions;  ///< the first kMostAdoptions
  std::int64_t adoption_count = 0;
  double published_bound = 0.0, robust_bound = 0.0;  ///< of the stabilized norm, at any step; may be infinite

  std::vector<Point> points;  ///< of the log, for drawing

  static constexpr std::size_t kMostAdoptions = 100;
  bool logs_every_step() const noexcept { return overview.stride <= 1 && !facts.step_name.empty(); }
  std::int64_t events_with(LossFate fate) const { return fates[static_cast<std::size_t>(fate)]; }
};

/// Called with every record, its running median (NaN where there is none) and the factors of all rules.
using EachStep = std::function<Status(const TraceRecord&, double, std::span<const double>)>;

/// Reads the trace twice. Errors: those of the trace, of the settings, and of `each`.
Result<Findings> analyse(const Trace& trace, const InspectSettings& settings, const EachStep& each = {});

}  // namespace gradstab::lab::inspect
