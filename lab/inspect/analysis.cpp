#include "lab/inspect/analysis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "gradstab/bounds.hpp"
#include "lab/inspect/log_histogram.hpp"
#include "lab/inspect/running_median.hpp"

namespace gradstab::lab::inspect {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kShortened = 0.99;
/// A gap of more memories of gamma2 than these leaves nothing of what was before.
constexpr double kForgotten = 25.0;
/// Records that are kept from the first reading for the second; longer logs are read again.
constexpr std::size_t kMostKept = std::size_t{1} << 19;

/// The second reading.
class Analysis : public TraceSink {
 public:
  Analysis(Findings& findings, Rules rules, const EachStep& each)
      : findings_(findings),
        rules_(std::move(rules)),
        each_(each),
        norms_(kMedianWindow),
        tensors_(findings.settings),
        drift_(findings.settings.memory()),
        longest_gap_(static_cast<std::int64_t>(kForgotten * findings.settings.memory())) {
    findings_.rules = rules_.list();
    findings_.effects.resize(kRules);
    findings_.first_median = findings_.last_median = kNone;
  }

  bool record(const TraceRecord& record) override {
    if (records_ == most_) return false;
    const double median = norms_.count() >= kFewestNorms ? norms_.median() : kNone;
    fill_gap(record.step);
    const auto factors = rules_.step(record.norm);
    tensors_.add(record);
    events_.add(record, median, factors, [&] { return tensors_.moved(findings_.facts); });
    if (events_.in_spike()) last_spike_ = record.step;
    follow_rules(record, median, factors);
    if (std::isfinite(record.norm) && record.norm > 0.0) {
      if (std::isfinite(median)) {
        ratios_.add(record.norm / median);
        drift_.add(record.step, median);
        if (std::isnan(findings_.first_median)) findings_.first_median = median;
        findings_.last_median = median;
      }
      norms_.add(record.norm);
    }
    Point point{records_, record.step, record.norm, record.loss.value_or(kNone), median, {}};
    std::ranges::copy(factors, point.factors.begin());
    thinned_.add(point);
    ++records_;
    if (each_) status_ = each_(record, median, factors);
    return status_.ok();
  }

  Status finish() {
    GRADSTAB_RETURN_IF_ERROR(status_);
    events_.finish();
    findings_.events = events_.events();
    findings_.event_count = events_.count();
    findings_.fates = events_.fates();
    findings_.largest_event = events_.largest();
    findings_.spread_low = ratios_.quantile(0.05);
    findings_.spread_high = ratios_.quantile(0.95);
    findings_.halving = drift_.halving();
    findings_.published = published_.holding();
    findings_.robust = robust_.holding();
    findings_.tensors = tensors_.holding(findings_.facts);
    findings_.points = thinned_.points();
    std::vector<double> spaces;
    for (std::size_t i = 1; i < findings_.events.size(); ++i) {
      const std::int64_t space = findings_.events[i].step - findings_.events[i - 1].last_step;
      if (space > 0) spaces.push_back(static_cast<double>(space));
    }
    findings_.spacing = spaces.empty() ? kNone : median_of(std::move(spaces));
    return {};
  }

  /// Of a log that grows, no more than the first reading has seen.
  void end_after(std::int64_t records) { most_ = records; }

 private:
  /// What lies between two lines, for the rules that remember it.
  void fill_gap(std::int64_t step) {
    const std::int64_t gap = records_ == 0 ? 0 : step - last_step_ - 1;
    last_step_ = step;
    if (gap <= 0 || norms_.count() == 0) return;
    std::int64_t at = step - gap;
    if (gap > longest_gap_) at = step - longest_gap_;
    rules_.hold(norms_.median(), step - at, [&](double published, double robust) {
      published_.add(at, published, last_spike_);
      robust_.add(at, robust, last_spike_);
      ++at;
      ++findings_.steps;
    });
  }

  void follow_rules(const TraceRecord& record, double median, std::span<const double> factors) {
    ++findings_.steps;
    published_.add(record.step, rules_.published_norm(), last_spike_);
    robust_.add(record.step, rules_.robust_norm(), last_spike_);
    for (std::size_t i = 0; i < factors.size(); ++i) {
      RuleEffect& effect = findings_.effects[i];
      if (factors[i] < kShortened) ++effect.shortened;
      if (factors[i] < effect.smallest) effect.smallest = factors[i], effect.smallest_step = record.step;
    }
    if (!rules_.adopted()) return;
    if (++findings_.adoption_count <= static_cast<std::int64_t>(Findings::kMostAdoptions))
      findings_.adoptions.push_back({record.step, record.norm / median});
  }

  Findings& findings_;
  Rules rules_;
  const EachStep& each_;
  RunningMedian norms_;
  TensorWatch tensors_;
  DriftWatch drift_;
  std::int64_t longest_gap_;
  EventWatch events_;
  HoldingWatch published_, robust_;
  LogHistogram ratios_;
  Thinned thinned_;
  std::int64_t records_ = 0;
  std::int64_t most_ = std::numeric_limits<std::int64_t>::max();
  std::int64_t last_step_ = 0;
  std::int64_t last_spike_ = -1;
  Status status_;
};

/// The first reading: an overview, and the records of a short log.
class FirstReading : public TraceSink {
 public:
  bool record(const TraceRecord& record) override {
    overview.record(record);
    if (!complete) return true;
    if (kept_.size() == kMostKept || !record.tensors.empty()) {
      complete = false;
      kept_ = {};
      names_ = {};
      return true;
    }
    kept_.push_back({record.step, record.norm, record.loss, {}, {}});
    // Few names come again and again.
    if (record.largest_tensor.empty()) return true;
    const auto [place, added] = names_.try_emplace(std::string(record.largest_tensor), 0);
    kept_.back().largest_tensor = place->first;
    return true;
  }
  void read(TraceSink& sink) const {
    for (const TraceRecord& record : kept_)
      if (!sink.record(record)) return;
  }

  OverviewSink overview;
  bool complete = true;  ///< all of it is kept

 private:
  std::vector<TraceRecord> kept_;
  std::map<std::string, int> names_;
};

}  // namespace

Result<Findings> analyse(const Trace& trace, const InspectSettings& settings, const EachStep& each) {
  Findings findings;
  findings.name = trace.name;
  findings.settings = settings;
  FirstReading first;
  GRADSTAB_RETURN_IF_ERROR(trace.read(findings.facts, first));
  findings.overview = first.overview.result();
  auto rules = Rules::create(settings, findings.overview.median);
  if (!rules) return rules.status();
  Analysis analysis(findings, *std::move(rules), each);
  if (first.complete) {
    first.read(analysis);
  } else {
    analysis.end_after(findings.overview.records);
    const TraceFacts facts = std::exchange(findings.facts, {});
    GRADSTAB_RETURN_IF_ERROR(trace.read(findings.facts, analysis));
    findings.facts = facts;
  }
  GRADSTAB_RETURN_IF_ERROR(analysis.finish());
  findings.published_bound = uniform_bound(settings.published());
  findings.robust_bound = uniform_bound(settings.robust());
  return findings;
}

}  // namespace gradstab::lab::inspect
