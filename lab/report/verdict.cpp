#include "lab/report/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "lab/page/markup.hpp"

namespace gradstab::lab {
namespace {

constexpr int kLossDigits = 4;

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

double validation_loss_at(const RunRecord& run, std::int64_t step) {
  for (const EvalPoint& point : run.evaluations) {
    if (point.step == step) return point.loss;
  }
  return kNoValue;
}

void take_summary(const RunSummary& summary, const RunRecord& run, RunFigures& figures) {
  figures.state = summary.diverged              ? RunState::diverged
                  : summary.state == "finished" ? RunState::finished
                                                : RunState::interrupted;
  figures.validation_loss = summary.final_validation_loss;
  figures.perplexity = summary.final_perplexity;
  figures.spikes = summary.spikes;
  figures.nonfinite = summary.nonfinite;
  figures.seconds = summary.seconds;
  figures.tokens_per_second = summary.tokens_per_second;
  figures.last_step = summary.step;
  figures.validation_step = summary.step;
  // An interrupted run may report an evaluation from before its last step.
  if (!run.evaluations.empty() && run.evaluations.back().loss == summary.final_validation_loss) {
    figures.validation_step = run.evaluations.back().step;
  }
}

void take_metrics(const RunRecord& run, RunFigures& figures) {
  if (!run.evaluations.empty()) {
    figures.validation_loss = run.evaluations.back().loss;
    figures.perplexity = run.evaluations.back().perplexity;
    figures.validation_step = run.evaluations.back().step;
  }
  figures.spikes = sum_over_steps(run, &StepPoint::spikes);
  figures.nonfinite = sum_over_steps(run, &StepPoint::nonfinite);
  if (run.steps.empty()) return;
  figures.seconds = run.steps.back().seconds;
  figures.last_step = run.steps.back().step;
  std::vector<double> rates;
  for (const StepPoint& point : run.steps) rates.push_back(point.tokens_per_second);
  figures.tokens_per_second = median(std::move(rates));
}

/// A numeric column of both tables.
struct Column {
  const char* heading;
  const char* hint;  // a second, smaller line of the heading
  double RunFigures::*member;
  std::string (*shown)(double);
};

std::string show_loss(double value) {
  return decimals(value, kLossDigits);
}
std::string show_difference(double value) {
  return signed_decimals(value, kLossDigits);
}

constexpr std::array kColumns = {
    Column{"Validation loss", "lower is better", &RunFigures::validation_loss, show_loss},
    Column{"Difference", "to the first", &RunFigures::difference, show_difference},
    Column{"Perplexity", "final", &RunFigures::perplexity, significant},
    Column{"Spikes", "tensors flagged", &RunFigures::spikes, grouped_integer},
    Column{"Largest norm", "raw gradient", &RunFigures::largest_norm, significant},
    Column{"Time", "", &RunFigures::seconds, duration},
    Column{"Tokens/s", "median", &RunFigures::tokens_per_second, grouped_integer},
};

std::vector<Column> columns_with_values(std::span<const RunFigures> figures) {
  std::vector<Column> columns;
  for (const Column& column : kColumns) {
    const bool any = std::any_of(figures.begin(), figures.end(),
                                 [&](const RunFigures& row) { return std::isfinite(row.*(column.member)); });
    // Perplexity is the one that some tasks do not have; an empty column anywhere else is itself a finding.
    if ((any || column.member != &RunFigures::perplexity) &&
        (figures.size() > 1 || column.member != &RunFigures::difference))
      columns.push_back(column);
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
      return "bad";
    default:
      return "open";
  }
}

std::string state_badge(RunState state, const std::string& text) {
  return fmt::format("<span class=\"state {}\">{}</span>", state_class(state), text);
}

std::int64_t greatest(std::span<const RunFigures> figures, std::int64_t RunFigures::*member) {
  std::int64_t step = 0;
  for (const RunFigures& row : figures) step = std::max(step, row.*member);
  return step;
}

bool complete(const RunFigures& row, std::int64_t last) {
  return row.state != RunState::diverged && row.validation_step == last && std::isfinite(row.validation_loss);
}

struct Candidate {
  std::size_t group;
  Spread loss;
};

/// Groups of which every run has a finite loss at the last validation step: only these can be compared.
std::vector<Candidate> candidates(std::span<const RunFigures> figures, const Arrangement& arrangement) {
  const std::int64_t last = greatest(figures, &RunFigures::validation_step);
  std::vector<Candidate> result;
  for (std::size_t group = 0; group < arrangement.groups.size(); ++group) {
    std::vector<double> losses;
    for (const std::size_t run : arrangement.groups[group].runs) {
      if (complete(figures[run], last)) losses.push_back(figures[run].validation_loss);
    }
    if (losses.size() == arrangement.groups[group].runs.size()) result.push_back({group, spread_of(losses)});
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
       {RunState::finished, RunState::interrupted, RunState::diverged, RunState::running_or_killed}) {
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
    default:
      return "running or killed";
  }
}

RunFigures figures_of(const RunRecord& run, const RunRecord& reference) {
  RunFigures figures;
  if (run.summary) {
    take_summary(*run.summary, run, figures);
  } else {
    take_metrics(run, figures);
  }
  for (const StepPoint& point : run.steps) {
    if (std::isfinite(point.grad_norm) && !(point.grad_norm <= figures.largest_norm)) {
      figures.largest_norm = point.grad_norm;
      figures.largest_norm_step = point.step;
    }
  }
  if (&run != &reference) {
    const RunFigures other = figures_of(reference, reference);
    const double base = other.validation_step == figures.validation_step
                            ? other.validation_loss
                            : validation_loss_at(reference, figures.validation_step);
    figures.difference = figures.validation_loss - base;
  }
  return figures;
}

std::string run_table(std::span<const RunFigures> figures, const Arrangement& arrangement) {
  const std::vector<Column> columns = columns_with_values(figures);
  const std::int64_t last = greatest(figures, &RunFigures::validation_step);
  const std::int64_t last_step = greatest(figures, &RunFigures::last_step);
  double best = kNoValue;
  std::size_t compared = 0;
  for (const RunFigures& row : figures) {
    if (!complete(row, last)) continue;
    ++compared;
    if (!(row.validation_loss >= best)) best = row.validation_loss;
  }

  std::string html = table_head(columns, "Run", "One row per run");
  for (std::size_t run = 0; run < figures.size(); ++run) {
    const RunFigures& row = figures[run];
    html += row_head(arrangement.run_labels[run], arrangement.group_of_run[run], "");
    for (const Column& column : columns) {
      const double value = row.*(column.member);
      std::string detail;
      bool is_best = false;
      if (column.member == &RunFigures::validation_loss && std::isfinite(value)) {
        is_best = compared > 1 && value == best && complete(row, last);
        if (is_best) detail = "lowest";
        if (row.validation_step != last) detail = fmt::format("at step {}", row.validation_step);
      }
      if (column.member == &RunFigures::difference && run == 0) {
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

std::string group_table(std::span<const RunFigures> figures, const Arrangement& arrangement) {
  const std::vector<Column> columns = columns_with_values(figures);
  const std::vector<Candidate> comparable = candidates(figures, arrangement);
  const auto best =
      std::min_element(comparable.begin(), comparable.end(),
                       [](const Candidate& a, const Candidate& b) { return a.loss.mean < b.loss.mean; });

  std::string html = table_head(columns, "Configuration", "Mean ± standard deviation over seeds");
  double reference = kNoValue;
  for (std::size_t index = 0; index < arrangement.groups.size(); ++index) {
    const RunGroup& group = arrangement.groups[index];
    html +=
        row_head(group.label, index,
                 group.runs.size() == 1 ? std::string("1 run") : fmt::format("{} seeds", group.runs.size()));
    double mean_loss = kNoValue;
    for (const Column& column : columns) {
      if (column.member == &RunFigures::difference) {
        if (index == 0) reference = mean_loss;
        html += index == 0 ? std::string("<td class=\"quiet\">reference</td>")
                           : cell(mean_loss - reference, column.shown(mean_loss - reference), "", false);
        continue;
      }
      std::vector<double> values;
      for (const std::size_t run : group.runs) values.push_back(figures[run].*(column.member));
      const Spread spread = spread_of(values);
      std::string detail;
      if (std::isfinite(spread.deviation)) detail = "± " + column.shown(spread.deviation);
      if (spread.finite > 0 && spread.finite < spread.total) {
        detail += fmt::format(" ({} of {} runs)", spread.finite, spread.total);
      }
      bool is_best = false;
      if (column.member == &RunFigures::validation_loss) {
        mean_loss = spread.mean;
        is_best = comparable.size() > 1 && best->group == index;
      }
      html += cell(spread.mean, column.shown(spread.mean), detail, is_best);
    }
    html += fmt::format("<td>{}</td></tr>\n", states_of(figures, group));
  }
  return html + "</tbody></table>\n";
}

std::string verdict_sentence(std::span<const RunFigures> figures, const Arrangement& arrangement) {
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
    return "There is no verdict: fewer than two configurations reached the last evaluation with a finite "
           "validation loss.";
  }
  std::string ending;
  if (!left_out.empty()) {
    constexpr std::size_t kMostLabels = 3;
    const std::size_t more = left_out.size() - std::min(left_out.size(), kMostLabels);
    left_out.resize(left_out.size() - more);
    ending =
        fmt::format(" Left out, because not every run reached the last evaluation with a finite loss: {}{}.",
                    fmt::join(left_out, "; "), more > 0 ? fmt::format("; and {} more", more) : "");
  }
  std::stable_sort(comparable.begin(), comparable.end(),
                   [](const Candidate& a, const Candidate& b) { return a.loss.mean < b.loss.mean; });
  const Candidate& best = comparable.front();
  // Against the reference where it is comparable and not itself the best; else against the next best.
  const auto reference = std::find_if(comparable.begin() + 1, comparable.end(),
                                      [](const Candidate& candidate) { return candidate.group == 0; });
  const Candidate& other = reference != comparable.end() ? *reference : comparable[1];
  const auto label = [&](const Candidate& candidate) {
    return escape_html(arrangement.groups[candidate.group].label);
  };
  return fmt::format("Lowest final validation loss: <strong>{}</strong> with {}, {} below {} ({}). {}{}",
                     label(best), show_loss(best.loss.mean), show_loss(other.loss.mean - best.loss.mean),
                     label(other), show_loss(other.loss.mean), how_sure(best.loss, other.loss), ending);
}

}  // namespace gradstab::lab
