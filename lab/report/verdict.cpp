#include "lab/report/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "lab/page/markup.hpp"

namespace gradstab::lab {
namespace {

/// The classes in page.css of the mark of a group: its colour and, where colours repeat, its dashes. As
/// shell.js draws its lines.
std::string swatch_of(std::size_t group) {
  constexpr std::size_t kColours = 7;
  constexpr std::size_t kDashes = 4;
  const std::size_t round = group / kColours % kDashes;
  return fmt::format("c{}", group % kColours) + (round > 0 ? fmt::format(" dash{}", round) : "");
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !std::isfinite(value); });
  if (values.empty()) return kNoValue;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double sum_over_steps(const RunRecord& run, double StepPoint::*member) {
  double sum = kNoValue;
  for (const StepPoint& point : run.steps) {
    if (std::isfinite(point.*member)) sum = (std::isfinite(sum) ? sum : 0) + point.*member;
  }
  return sum;
}

double score_at(const RunRecord& run, std::int64_t step) {
  for (const EvalPoint& point : run.evaluations) {
    if (point.step == step) return point.score();
  }
  return kNoValue;
}

/// What the reference scored where `figures` were measured: on the same part, at the same step.
double score_beside(const RunFigures& figures, const RunRecord& reference) {
  const RunFigures other = figures_of(reference, reference);
  if (other.tested == figures.tested && other.score_step == figures.score_step) return other.score();
  return figures.tested ? kNoValue : score_at(reference, figures.score_step);
}

void set_from_summary(const RunSummary& summary, const RunRecord& run, RunFigures& figures) {
  figures.values = summary.final;
  figures.tested = summary.tested;
  figures.spikes = summary.spikes;
  figures.nonfinite = summary.nonfinite;
  figures.seconds = summary.seconds;
  figures.samples_per_second = summary.samples_per_second;
  figures.last_step = summary.step;
  figures.score_step = summary.step;
  // An interrupted run may report an evaluation from before its last step.
  if (!run.evaluations.empty() && run.evaluations.back().score() == summary.score()) {
    figures.score_step = run.evaluations.back().step;
  }
}

void set_from_metrics(const RunRecord& run, RunFigures& figures) {
  if (!run.evaluations.empty()) {
    figures.values = run.evaluations.back().values;
    figures.score_step = run.evaluations.back().step;
  }
  figures.spikes = sum_over_steps(run, &StepPoint::spikes);
  figures.nonfinite = sum_over_steps(run, &StepPoint::nonfinite);
  if (run.steps.empty()) return;
  figures.seconds = run.steps.back().seconds;
  figures.last_step = run.steps.back().step;
  std::vector<double> rates;
  for (const StepPoint& point : run.steps) rates.push_back(point.samples_per_second);
  figures.samples_per_second = median(std::move(rates));
}

/// A numeric column of both tables.
struct Column {
  enum class What { score, difference, metric, other };
  What what = What::other;
  std::string heading;
  std::string hint;  // a second, smaller line of the heading
  std::function<double(const RunFigures&)> value;
  std::function<std::string(double)> shown;
  double RunFigures::*member = nullptr;  // of the others
};

std::string per_second(const TaskInfo& measures) {
  return as_heading(measures.sample_in_words()) + "/s";
}

std::vector<Column> all_columns(const TaskInfo& measures) {
  const int digits = measures.score().digits;
  std::vector<Column> columns;
  for (std::size_t i = 0; i < measures.metrics.size(); ++i) {
    const Metric& metric = measures.metrics[i];
    Column column;
    column.what = i == 0 ? Column::What::score : Column::What::metric;
    column.heading = escape_html(metric.title);
    column.hint = i == 0 ? std::string(direction_text(metric)) : "final";
    column.value = [i](const RunFigures& row) { return i < row.values.size() ? row.values[i] : kNoValue; };
    if (metric.exp_of_score)
      column.shown = significant;
    else
      column.shown = [metric](double value) { return decimals(value, metric.digits); };
    columns.push_back(std::move(column));
    if (i > 0) continue;
    columns.push_back({Column::What::difference, "Difference", "to the first",
                       [](const RunFigures& row) { return row.difference; },
                       [digits](double value) { return signed_decimals(value, digits); }});
  }
  const auto add = [&](std::string heading, std::string hint, double RunFigures::*member,
                       std::string (*shown)(double)) {
    columns.push_back({Column::What::other, std::move(heading), std::move(hint),
                       [member](const RunFigures& row) { return row.*member; }, shown, member});
  };
  add("Spikes", "tensors flagged", &RunFigures::spikes, grouped_integer);
  add("Largest norm", "raw gradient", &RunFigures::largest_norm, significant);
  add("Time", "", &RunFigures::seconds, duration);
  add(escape_html(per_second(measures)), "median", &RunFigures::samples_per_second, grouped_integer);
  return columns;
}

std::vector<Column> columns_with_values(std::span<const RunFigures> figures, const TaskInfo& measures) {
  std::vector<Column> columns;
  for (Column& column : all_columns(measures)) {
    const bool any = std::any_of(figures.begin(), figures.end(),
                                 [&](const RunFigures& row) { return std::isfinite(column.value(row)); });
    // Metrics beside the score may not have been recorded; an empty column anywhere else is itself a finding.
    if ((any || column.what != Column::What::metric) &&
        (figures.size() > 1 || column.what != Column::What::difference))
      columns.push_back(std::move(column));
  }
  return columns;
}

std::string table_head(std::span<const Column> columns, const char* first, const char* caption) {
  std::string html = fmt::format(
      "<table class=\"verdict\"><caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th>", caption, first);
  for (const Column& column : columns) {
    html += fmt::format("<th scope=\"col\">{}<small>{}</small></th>", column.heading, column.hint);
  }
  return html + "<th scope=\"col\">State</th></tr></thead>\n<tbody>\n";
}

std::string row_head(const std::string& label, std::size_t group, std::string_view detail) {
  std::string html = fmt::format("<tr><th scope=\"row\"><span><span class=\"swatch {}\"></span><span>{}",
                                 swatch_of(group), breakable_html(label));
  if (!detail.empty()) html += fmt::format("<small>{}</small>", detail);
  return html + "</span></span></th>";
}

std::string cell(double value, const std::string& shown, const std::string& detail, bool best) {
  return fmt::format("<td{} data-value=\"{}\">{}{}</td>", best ? " class=\"best\"" : "", exact_number(value),
                     shown, detail.empty() ? "" : "<small>" + detail + "</small>");
}

std::string_view state_class(RunState state) {
  switch (state) {
    case RunState::finished:
      return "good";
    case RunState::diverged:
    case RunState::failed:
      return "bad";
    case RunState::running:
      return "busy";
    case RunState::interrupted:
    case RunState::killed:
    case RunState::running_or_killed:
      return "open";
  }
  return "open";
}

std::int64_t greatest(std::span<const RunFigures> figures, std::int64_t RunFigures::*member) {
  std::int64_t step = 0;
  for (const RunFigures& row : figures) step = std::max(step, row.*member);
  return step;
}

/// What the scores of runs that can be compared have in common.
struct End {
  std::int64_t step = 0;  ///< where they were measured
  bool tested = false;    ///< on which part
};

/// The last one that a run reached.
End end_of(std::span<const RunFigures> figures) {
  return {greatest(figures, &RunFigures::score_step),
          std::ranges::any_of(figures, [](const RunFigures& row) { return row.tested; })};
}

bool complete(const RunFigures& row, const End& end) {
  return row.comparable && row.state != RunState::diverged && row.score_step == end.step &&
         row.tested == end.tested && std::isfinite(row.score());
}

struct Candidate {
  std::size_t group;
  Spread score;
};

/// Groups of which every run has a finite score at the last evaluation: only these can be compared.
std::vector<Candidate> candidates(std::span<const RunFigures> figures, const Arrangement& arrangement) {
  const End end = end_of(figures);
  std::vector<Candidate> result;
  for (std::size_t group = 0; group < arrangement.groups.size(); ++group) {
    std::vector<double> scores;
    for (const std::size_t run : arrangement.groups[group].runs) {
      if (complete(figures[run], end)) scores.push_back(figures[run].score());
    }
    if (scores.size() == arrangement.groups[group].runs.size()) result.push_back({group, spread_of(scores)});
  }
  return result;
}

std::string how_sure(const Spread& best, const Spread& other) {
  if (best.finite < 2 || other.finite < 2) {
    return "With a single seed there is no telling how much of a difference is chance.";
  }
  const double error = std::sqrt(best.deviation * best.deviation / static_cast<double>(best.finite) +
                                 other.deviation * other.deviation / static_cast<double>(other.finite));
  const double ratio = std::abs(best.mean - other.mean) / error;
  if (!std::isfinite(ratio)) return "";
  return ratio < 2 ? fmt::format("That is only {:.1f} times its standard error over seeds: it may be chance.",
                                 ratio)
                   : fmt::format("That is {:.1f} times its standard error over seeds.", ratio);
}

/// "2 finished, 1 diverged", in the order of the enumeration.
std::string states_of(std::span<const RunFigures> figures, const RunGroup& group) {
  std::string html;
  for (const RunState state :
       {RunState::finished, RunState::interrupted, RunState::diverged, RunState::running, RunState::killed,
        RunState::failed, RunState::running_or_killed}) {
    const auto count = std::count_if(group.runs.begin(), group.runs.end(),
                                     [&](std::size_t run) { return figures[run].state == state; });
    if (count > 0) html += state_badge(state, fmt::format("{} {}", count, to_string(state))) + " ";
  }
  return html;
}

}  // namespace

std::string to_string(RunState state) {
  switch (state) {
    case RunState::finished:
      return "finished";
    case RunState::interrupted:
      return "interrupted";
    case RunState::diverged:
      return "diverged";
    case RunState::running:
      return "running";
    case RunState::killed:
      return "killed";
    case RunState::failed:
      return "failed";
    case RunState::running_or_killed:
      return "running or killed";
  }
  return "running or killed";
}

RunState state_of(const RunRecord& run) {
  if (run.summary) {
    if (run.summary->diverged) return RunState::diverged;
    return run.summary->state == "finished" ? RunState::finished : RunState::interrupted;
  }
  if (!run.at_work) return RunState::running_or_killed;
  if (*run.at_work) return RunState::running;
  return run.failure.empty() ? RunState::killed : RunState::failed;
}

std::string state_badge(RunState state, const std::string& text) {
  return fmt::format("<span class=\"state {}\">{}</span>", state_class(state), text);
}

RunFigures figures_of(const RunRecord& run, const RunRecord& reference) {
  RunFigures figures;
  figures.state = state_of(run);
  if (run.summary) {
    set_from_summary(*run.summary, run, figures);
  } else {
    set_from_metrics(run, figures);
  }
  for (const StepPoint& point : run.steps) {
    if (std::isfinite(point.grad_norm) && !(point.grad_norm <= figures.largest_norm)) {
      figures.largest_norm = point.grad_norm;
      figures.largest_norm_step = point.step;
    }
  }
  if (&run != &reference) figures.difference = figures.score() - score_beside(figures, reference);
  return figures;
}

std::string_view best_word(const Metric& metric) noexcept {
  return metric.better == Better::lower ? "lowest" : "highest";
}

std::string run_table(std::span<const RunFigures> figures, const Arrangement& arrangement,
                      const TaskInfo& measures) {
  const std::vector<Column> columns = columns_with_values(figures, measures);
  const End end = end_of(figures);
  const std::int64_t last_step = greatest(figures, &RunFigures::last_step);
  double best = kNoValue;
  std::size_t compared = 0;
  for (const RunFigures& row : figures) {
    if (!complete(row, end)) continue;
    ++compared;
    if (std::isnan(best) || is_better(measures.score(), row.score(), best)) best = row.score();
  }

  std::string html = table_head(columns, "Run", "One row per run");
  for (std::size_t run = 0; run < figures.size(); ++run) {
    const RunFigures& row = figures[run];
    html += row_head(arrangement.run_labels[run], arrangement.group_of_run[run], "");
    for (const Column& column : columns) {
      const double value = column.value(row);
      std::string detail;
      bool is_best = false;
      if (column.what == Column::What::score && std::isfinite(value)) {
        is_best = compared > 1 && value == best && complete(row, end);
        if (is_best) detail = best_word(measures.score());
        if (row.score_step != end.step) detail = fmt::format("at step {}", row.score_step);
        if (row.tested != end.tested) detail += (detail.empty() ? "" : ", ") + std::string("validation part");
      }
      if (column.what == Column::What::difference && run == 0) {
        html += "<td class=\"quiet\">reference</td>";
        continue;
      }
      if (column.member == &RunFigures::largest_norm && std::isfinite(value)) {
        detail = fmt::format("at step {}", row.largest_norm_step);
      }
      if (column.member == &RunFigures::spikes && row.nonfinite > 0) {
        detail = fmt::format("{} non-finite", grouped_integer(row.nonfinite));
      }
      html += cell(value, column.shown(value), detail, is_best);
    }
    const std::string detail = row.last_step != last_step
                                   ? fmt::format("<small>step {} of {}</small>", row.last_step, last_step)
                                   : "";
    html += fmt::format("<td>{}{}</td></tr>\n", state_badge(row.state, to_string(row.state)), detail);
  }
  return html + "</tbody></table>\n";
}

std::string group_table(std::span<const RunFigures> figures, const Arrangement& arrangement,
                        const TaskInfo& measures) {
  const std::vector<Column> columns = columns_with_values(figures, measures);
  const std::vector<Candidate> comparable = candidates(figures, arrangement);
  const auto best =
      std::min_element(comparable.begin(), comparable.end(), [&](const Candidate& a, const Candidate& b) {
        return is_better(measures.score(), a.score.mean, b.score.mean);
      });

  std::string html = table_head(columns, "Configuration", "Mean ± standard deviation over seeds");
  const End end = end_of(figures);
  const bool same_data = std::ranges::all_of(figures, &RunFigures::comparable);
  double reference = kNoValue;
  for (std::size_t index = 0; index < arrangement.groups.size(); ++index) {
    const RunGroup& group = arrangement.groups[index];
    html +=
        row_head(group.label, index,
                 group.runs.size() == 1 ? std::string("1 run") : fmt::format("{} seeds", group.runs.size()));
    double mean_score = kNoValue;
    for (const Column& column : columns) {
      if (column.what == Column::What::difference) {
        if (index == 0) reference = mean_score;
        const double difference = same_data ? mean_score - reference : kNoValue;
        html += index == 0 ? std::string("<td class=\"quiet\">reference</td>")
                           : cell(difference, column.shown(difference), "", false);
        continue;
      }
      std::vector<double> values;
      const bool of_a_part = column.what == Column::What::score || column.what == Column::What::metric;
      for (const std::size_t run : group.runs)
        values.push_back(of_a_part && figures[run].tested != end.tested ? kNoValue
                                                                        : column.value(figures[run]));
      const Spread spread = spread_of(values);
      std::string detail;
      if (std::isfinite(spread.deviation)) detail = "± " + column.shown(spread.deviation);
      if (spread.finite > 0 && spread.finite < spread.total) {
        detail += fmt::format(" ({} of {} runs)", spread.finite, spread.total);
      }
      bool is_best = false;
      if (column.what == Column::What::score) {
        mean_score = spread.mean;
        is_best = comparable.size() > 1 && best->group == index;
      }
      html += cell(spread.mean, column.shown(spread.mean), detail, is_best);
    }
    html += fmt::format("<td>{}</td></tr>\n", states_of(figures, group));
  }
  return html + "</tbody></table>\n";
}

std::string verdict_sentence(std::span<const RunFigures> figures, const Arrangement& arrangement,
                             const TaskInfo& measures) {
  const Metric& metric = measures.score();
  if (arrangement.groups.size() < 2) return "";
  std::vector<Candidate> comparable = candidates(figures, arrangement);
  std::vector<std::string> left_out;
  auto next = comparable.begin();  // they are in the order of the groups
  for (std::size_t group = 0; group < arrangement.groups.size(); ++group) {
    if (next != comparable.end() && next->group == group) {
      ++next;
    } else {
      left_out.push_back(escape_html(arrangement.groups[group].label));
    }
  }
  if (comparable.size() < 2) {
    return fmt::format(
        "There is no verdict: fewer than two configurations reached the last evaluation with a finite {}.",
        escape_html(in_sentence(metric.title)));
  }
  std::string ending;
  if (!left_out.empty()) {
    constexpr std::size_t kMostLabels = 3;
    const std::size_t more = left_out.size() - std::min(left_out.size(), kMostLabels);
    left_out.resize(left_out.size() - more);
    ending =
        fmt::format(" Left out, because not every run reached the last evaluation with a finite {}: {}{}.",
                    escape_html(metric.noun), fmt::join(left_out, "; "),
                    more > 0 ? fmt::format("; and {} more", more) : "");
  }
  std::stable_sort(comparable.begin(), comparable.end(), [&](const Candidate& a, const Candidate& b) {
    return is_better(metric, a.score.mean, b.score.mean);
  });
  const Candidate& best = comparable.front();
  // Against the reference where it is comparable and not itself the best; else against the next best.
  const auto reference = std::find_if(comparable.begin() + 1, comparable.end(),
                                      [](const Candidate& candidate) { return candidate.group == 0; });
  const Candidate& other = reference != comparable.end() ? *reference : comparable[1];
  const auto label = [&](const Candidate& candidate) {
    return escape_html(arrangement.groups[candidate.group].label);
  };
  const auto shown = [&](double value) { return decimals(value, metric.digits); };
  return fmt::format("{} final {}: <strong>{}</strong> with {}, {} {} {} ({}). {}{}",
                     as_heading(std::string(best_word(metric))), escape_html(in_sentence(metric.title)),
                     label(best), shown(best.score.mean), shown(std::abs(other.score.mean - best.score.mean)),
                     metric.better == Better::lower ? "below" : "above", label(other),
                     shown(other.score.mean), how_sure(best.score, other.score), ending);
}

}  // namespace gradstab::lab
