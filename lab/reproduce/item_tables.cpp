#include "lab/reproduce/item_tables.hpp"

#include <fmt/format.h>

#include <cmath>

#include "lab/page/markup.hpp"
#include "lab/report/grouping.hpp"
#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

std::string scrolling(const std::string& table) {
  return "<div class=\"scroll\" tabindex=\"0\">" + table + "</div>\n";
}

/// Counts have fewer decimals than scores.
int digits_of(const std::string& unit, const TaskInfo& measures) {
  return unit == "updates" ? 1 : measures.score().digits;
}

std::string effect_row(const EffectResult& effect, const std::string& horizon, int digits) {
  std::string seeds;
  for (const double value : effect.by_seed)
    seeds += (seeds.empty() ? "" : "&ensp;") + signed_decimals(value, digits);
  std::string interval(kNothing);
  if (effect.interval.is_known()) {
    interval = fmt::format("{} to {}", signed_decimals(effect.interval.low, digits),
                           signed_decimals(effect.interval.high, digits));
    // What more seeds would be for.
    if (effect.verdict == Verdict::undecided)
      interval += fmt::format("<small>80 % power: {}</small>", decimals(effect.detectable, digits));
  }
  return fmt::format(
      "<tr{}><th scope=\"row\">{}<small>{}{}</small></th><td "
      "data-value=\"{}\">{}{}</td><td>{}</td><td>{}</td>"
      "<td>{}</td></tr>\n",
      effect.control ? " class=\"control\"" : "", escape_html(effect.label), escape_html(horizon),
      effect.control ? ", does not count" : "", exact_number(effect.mean),
      signed_decimals(effect.mean, digits),
      std::isfinite(effect.deviation) ? fmt::format("<small>± {}</small>", decimals(effect.deviation, digits))
                                      : "",
      interval, seeds.empty() ? std::string(kNothing) : seeds, verdict_badge(effect.verdict));
}

struct Cell {
  std::vector<const ItemRun*> runs;  // one per seed

  std::vector<double> scores() const {
    std::vector<double> all;
    for (const ItemRun* run : runs) all.push_back(run->judged_score());
    return all;
  }
  /// Of a metric beside the score, as its runs ended; `place` is that among the measured ones without the
  /// score.
  std::vector<double> others(std::size_t place) const {
    std::vector<double> all;
    for (const ItemRun* run : runs) all.push_back(place < run->others.size() ? run->others[place] : kNoValue);
    return all;
  }
  std::vector<double> values(double (*figure)(RunsOfSeed)) const {
    std::vector<double> all;
    for (const ItemRun* run : runs) all.push_back(figure(RunsOfSeed(&run, 1)));
    return all;
  }
};

Cell cell_of(const Records& records, const std::string& horizon, const Settings& context,
             const std::string& arm) {
  Cell cell;
  for (const ItemRun& run : records.runs)
    if (run.horizon == horizon && run.coordinates == context && run.arm == arm) cell.runs.push_back(&run);
  return cell;
}

/// The mean over the seeds that both have of the difference of their scores.
Spread paired_difference(const Cell& cell, const Cell& reference) {
  std::vector<double> differences;
  for (const ItemRun* run : cell.runs)
    for (const ItemRun* other : reference.runs)
      if (run->seed == other->seed) differences.push_back(run->judged_score() - other->judged_score());
  return spread_of(differences);
}

std::string with_spread(const Spread& spread, std::string shown, int digits) {
  if (std::isfinite(spread.deviation))
    shown += fmt::format("<small>± {}</small>", decimals(spread.deviation, digits));
  return fmt::format("<td data-value=\"{}\">{}</td>", exact_number(spread.mean), shown);
}

std::string count_cell(const Cell& cell, double (*count)(RunsOfSeed)) {
  const Spread spread = spread_of(cell.values(count));
  return fmt::format("<td>{}</td>", decimals(spread.mean, 1));
}

/// The metrics beside the score.
std::string other_cells(const Cell& cell, const TaskInfo& measures, double mean_score) {
  std::string html;
  std::size_t place = 0;
  for (std::size_t i = 1; i < measures.metrics.size(); ++i) {
    const Metric& metric = measures.metrics[i];
    if (metric.exp_of_score) {
      html += fmt::format("<td>{}</td>", decimals(std::exp(mean_score), metric.digits));
      continue;
    }
    const Spread spread = spread_of(cell.others(place++));
    html += with_spread(spread, decimals(spread.mean, metric.digits), metric.digits);
  }
  return html;
}

std::size_t columns_of(const TaskInfo& measures, bool published) {
  constexpr std::size_t kAlways = 4;  // method, difference, diverged, norm spikes
  return kAlways + measures.metrics.size() + (measures.loss_spike > 0.0 ? 1 : 0) + (published ? 1 : 0);
}

std::string published_cell(const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : " / ") + decimals(value, 2);
  return fmt::format("<td>{}</td>", text.empty() ? std::string(kNothing) : text);
}

}  // namespace

std::string verdict_badge(Verdict verdict) {
  const char* const style = verdict == Verdict::reproduced       ? "good"
                            : verdict == Verdict::not_reproduced ? "bad"
                            : verdict == Verdict::no_difference  ? "same"
                                                                 : "open";
  return fmt::format("<span class=\"state {}\">{}</span>", style, to_string(verdict));
}

std::string claim_section(const ClaimResult& result, const TaskInfo& measures) {
  const int digits = digits_of(result.claim.unit, measures);
  std::string html =
      fmt::format("<section class=\"claim\"><h3>{} {}</h3>\n<p class=\"quiet\">Source: {}. Effects in {}.",
                  escape_html(result.claim.text), verdict_badge(result.verdict),
                  escape_html(result.claim.source), escape_html(result.claim.unit));
  for (const HorizonResult& at : result.horizons)
    html += fmt::format(" {}: {}.", escape_html(at.horizon), to_string(at.verdict));
  html += "</p>\n";
  std::string rows;
  for (const HorizonResult& at : result.horizons)
    for (const EffectResult& effect : at.effects) rows += effect_row(effect, at.horizon, digits);
  return html +
         scrolling(
             "<table class=\"numbers effects\"><thead><tr><th scope=\"col\">Effect</th><th "
             "scope=\"col\">Mean<small>below zero supports the claim</small></th><th scope=\"col\">95 % "
             "interval<small>and the effect that would show with a power of 80 %</small></th><th "
             "scope=\"col\">Seed by seed</th><th "
             "scope=\"col\">Verdict</th></tr></thead><tbody>\n" +
             rows + "</tbody></table>") +
         "</section>\n";
}

std::string configuration_table(const Records& records, const std::string& horizon,
                                const std::optional<PublishedTable>& published) {
  const TaskInfo& measures = records.measures;
  const Metric& metric = measures.score();
  std::string html = fmt::format(
      "<table class=\"numbers effects\"><thead><tr><th scope=\"col\">Method</th><th "
      "scope=\"col\">{}<small>mean ± sd over seeds</small></th>",
      escape_html(as_heading(metric.noun)));
  for (std::size_t i = 1; i < measures.metrics.size(); ++i) {
    const Metric& other = measures.metrics[i];
    html += fmt::format(
        "<th scope=\"col\">{}<small>{}</small></th>", escape_html(other.title),
        other.exp_of_score ? "of the mean " + escape_html(metric.noun) : std::string("mean ± sd over seeds"));
  }
  html +=
      "<th scope=\"col\">Difference<small>to no method, paired</small></th><th "
      "scope=\"col\">Diverged<small>of the runs</small></th><th scope=\"col\">Norm spikes<small>updates per "
      "run</small></th>";
  if (measures.loss_spike > 0.0) html += "<th scope=\"col\">Loss spikes<small>updates per run</small></th>";
  if (published) {
    std::string models;
    for (const std::string& model : published->models) models += (models.empty() ? "" : " / ") + model;
    html +=
        fmt::format("<th scope=\"col\">Published {}<small>{}, {}: another scale</small></th>",
                    escape_html(published->quantity), escape_html(published->source), escape_html(models));
  }
  html += "</tr></thead>\n";
  for (const Settings& context : contexts_in_order(records, horizon)) {
    const std::string text = context_text(context);
    html += "<tbody>\n";
    if (!text.empty())
      html += fmt::format("<tr><th colspan=\"{}\" scope=\"rowgroup\">{}</th></tr>\n",
                          columns_of(measures, published.has_value()), escape_html(text));
    const Cell reference = cell_of(records, horizon, context, "none");
    for (const std::string& arm : arms_in_order(records)) {
      const Cell cell = cell_of(records, horizon, context, arm);
      if (cell.runs.empty()) continue;
      const Spread score = spread_of(cell.scores());
      const Spread difference = paired_difference(cell, reference);
      const Spread diverged = spread_of(cell.values(divergence_count));
      html += fmt::format("<tr{}><th scope=\"row\">{}</th>", is_control(arm) ? " class=\"control\"" : "",
                          escape_html(arm_label(arm)));
      html += with_spread(score, decimals(score.mean, metric.digits), metric.digits);
      html += other_cells(cell, measures, score.mean);
      html += arm == "none"
                  ? fmt::format("<td>{}</td>", kNothing)
                  : with_spread(difference, signed_decimals(difference.mean, metric.digits), metric.digits);
      html += fmt::format("<td>{:.0f}/{}</td>",
                          diverged.finite > 0 ? diverged.mean * static_cast<double>(diverged.finite) : 0.0,
                          diverged.finite);
      html += count_cell(cell, norm_spike_count);
      if (measures.loss_spike > 0.0) html += count_cell(cell, loss_spike_count);
      if (published) html += published_cell(published->find(context, arm));
      html += "</tr>\n";
    }
    html += "</tbody>\n";
  }
  return scrolling(html + "</table>");
}

}  // namespace gradstab::lab
