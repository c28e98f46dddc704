#include "lab/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "lab/page/downsample.hpp"
#include "lab/page/exhibits.hpp"
#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"
#include "lab/page/poses.hpp"
#include "lab/report/assets.hpp"
#include "lab/report/chart_data.hpp"
#include "lab/report/common_data.hpp"
#include "lab/report/grouping.hpp"
#include "lab/report/settings_table.hpp"
#include "lab/report/verdict.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

std::vector<SettingsColumn> columns_of(const Arrangement& arrangement, const std::vector<json>& objects) {
  std::vector<SettingsColumn> columns;
  for (const RunGroup& group : arrangement.groups) {
    SettingsColumn column;
    column.heading = group.label;
    for (const std::size_t run : group.runs) column.objects.push_back(&objects[run]);
    columns.push_back(std::move(column));
  }
  return columns;
}

/// The values that one leaf has over all runs, each once.
std::string values_over_runs(const std::vector<json>& objects, const std::string& key) {
  SettingsColumn all;
  for (const json& object : objects) all.objects.push_back(&object);
  return joined_values(all, key);
}

std::string step_count(std::span<const RunFigures> figures) {
  std::int64_t fewest = figures.front().last_step, most = fewest;
  for (const RunFigures& row : figures) {
    fewest = std::min(fewest, row.last_step);
    most = std::max(most, row.last_step);
  }
  const std::string most_text = grouped_integer(static_cast<double>(most));
  return fewest == most
             ? most_text + (figures.size() == 1 ? " steps" : " steps each")
             : fmt::format("{} to {} steps", grouped_integer(static_cast<double>(fewest)), most_text);
}

/// What is compared: "3 runs of task llm (model 1m, data dict-gcide), 300 steps each. They differ in ...".
std::string lead_sentence(std::span<const RunRecord> runs, const Arrangement& arrangement,
                          std::span<const RunFigures> figures, const std::vector<json>& settings,
                          std::span<const SettingsColumn> columns) {
  std::set<std::string> tasks;
  std::vector<json> data;
  for (const RunRecord& run : runs) {
    if (!run.task.empty()) tasks.insert(run.task);
    data.push_back(run.data);
  }
  std::string sentence;
  if (arrangement.has_seeds()) {
    sentence = fmt::format("{} configuration{}, {} runs", arrangement.groups.size(),
                           arrangement.groups.size() == 1 ? "" : "s", runs.size());
  } else {
    sentence = fmt::format("{} run{}", runs.size(), runs.size() == 1 ? "" : "s");
  }
  if (!tasks.empty()) sentence += fmt::format(" of task {}", fmt::join(tasks, ", "));
  std::vector<std::string> facts;
  if (const std::string model = values_over_runs(settings, "model"); !model.empty())
    facts.push_back("model " + model);
  if (const std::string source = values_over_runs(data, "source"); !source.empty())
    facts.push_back("data " + source);
  if (!facts.empty()) sentence += fmt::format(" ({})", fmt::join(facts, ", "));
  sentence += ", " + step_count(figures) + ".";
  std::string html = escape_html(sentence);

  constexpr std::size_t kMostKeys = 4;  // the table further down has them all
  std::vector<std::string> keys;
  for (const std::string& key : differing_keys(columns)) {
    if (!is_run_specific(key)) keys.push_back("<b>" + escape_html(key) + "</b>");
  }
  if (keys.size() > kMostKeys) {
    html += fmt::format(" They differ in {} settings.", keys.size());
  } else if (!keys.empty()) {
    html += fmt::format(" They differ in {}.", fmt::join(keys, ", "));
  }
  return html;
}

std::string notes_list(std::span<const RunRecord> runs, const Arrangement& arrangement) {
  std::string items;
  for (const RunGroup& group : arrangement.groups) {
    for (const std::string& caution : group.cautions) items += "<li>" + escape_html(caution) + "</li>\n";
  }
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const std::string& note : runs[run].notes) {
      items += fmt::format("<li>{}: {}</li>\n", escape_html(arrangement.run_labels[run]), escape_html(note));
    }
    if (runs[run].steps.empty()) {
      items += fmt::format("<li>{}: no training step is recorded.</li>\n",
                           escape_html(arrangement.run_labels[run]));
    }
  }
  return items.empty() ? "" : "<ul class=\"notes\">\n" + items + "</ul>\n";
}

std::string tables(std::span<const RunFigures> figures, const Arrangement& arrangement,
                   const TaskInfo& measures) {
  const auto scroll = [](const std::string& table) {
    return "<div class=\"scroll\" tabindex=\"0\">" + table + "</div>\n";
  };
  if (!arrangement.has_seeds()) return scroll(run_table(figures, arrangement, measures));
  return scroll(group_table(figures, arrangement, measures)) +
         fmt::format("<details><summary>Every run on its own ({})</summary>{}</details>\n", figures.size(),
                     scroll(run_table(figures, arrangement, measures)));
}

/// "Loss on text held back from training, in nats per token. Lower is better."
std::string caption_of(const TaskInfo& measures, const Metric& metric) {
  std::string text = fmt::format("{} {}", as_heading(metric.noun), measures.held_out);
  if (!metric.unit.empty()) text += ", in " + metric.unit;
  return text + ". " + as_heading(std::string(direction_text(metric))) + ". Dots are the evaluations.";
}

/// The charts of the metrics that are measured.
std::string evaluation_figures(const TaskInfo& measures) {
  std::string html;
  for (const EvaluationChart& chart : evaluation_charts(measures)) {
    const Metric& metric = measures.metrics[chart.metric];
    html += fmt::format(
        "<figure data-chart=\"{}\" data-means data-dots>\n<figcaption><b>{}</b> {}</figcaption>\n<div "
        "class=\"plot\"><canvas role=\"img\" aria-label=\"Line chart of the {} over training steps, one line "
        "per run; the numbers are in the table below the charts\"></canvas></div>\n</figure>\n",
        chart.key, escape_html(metric.title), escape_html(caption_of(measures, metric)),
        escape_html(in_sentence(metric.title)));
  }
  return html;
}

/// The words that the measures bring along.
std::string metric_words(const TaskInfo& measures) {
  std::string html;
  for (const Metric& metric : measures.metrics) {
    if (metric.meaning.empty()) continue;
    html += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escape_html(metric.title), escape_html(metric.meaning));
  }
  return html;
}

/// Every score as text: what the first chart shows, for those who cannot see it.
std::string evaluation_table(std::span<const RunRecord> runs, const Arrangement& arrangement) {
  constexpr std::size_t kMostRows = 200;
  const Metric& metric = runs.front().measures.score();
  std::map<std::int64_t, std::map<std::size_t, double>> rows;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const EvalPoint& point : runs[run].evaluations) rows[point.step][run] = point.score();
  }
  if (rows.empty()) return "";
  const std::size_t every = (rows.size() + kMostRows - 1) / kMostRows;
  std::string html = fmt::format(
      "<details><summary>{} as numbers{}</summary><div class=\"scroll\" tabindex=\"0\">"
      "<table class=\"numbers\"><thead><tr><th scope=\"col\">Step</th>",
      escape_html(metric.title), every > 1 ? fmt::format(" (one in {})", every) : "");
  for (const std::string& label : arrangement.run_labels) {
    html += fmt::format("<th scope=\"col\">{}</th>", escape_html(label));
  }
  html += "</tr></thead><tbody>\n";
  std::size_t index = 0;
  for (const auto& [step, scores] : rows) {
    const bool last = ++index == rows.size();
    if (index % every != 0 && !last) continue;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", step);
    for (std::size_t run = 0; run < runs.size(); ++run) {
      const auto score = scores.find(run);
      html += fmt::format("<td>{}</td>", score == scores.end() ? std::string(kNothing)
                                                               : decimals(score->second, metric.digits));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div></details>\n";
}

/// The movements of all runs, those of one robot in one figure.
std::string movements(std::span<const RunRecord> runs, const Arrangement& arrangement) {
  std::vector<Poses> figures;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    for (const json& exhibit : runs[run].exhibits) {
      auto poses = is_poses(exhibit) ? read_poses(exhibit) : std::nullopt;
      if (!poses) continue;
      if (runs.size() > 1) {
        for (PosedRollout& rollout : poses->rollouts) rollout.label = arrangement.run_labels[run];
      }
      const auto joined = [&](Poses& figure) { return join(figure, *poses); };
      if (std::ranges::none_of(figures, joined)) figures.push_back(std::move(*poses));
    }
  }
  std::string html;
  for (const Poses& figure : figures) html += poses_html(figure);
  return html;
}

/// What the runs show beside numbers, the first run open; nothing where none of them does.
std::string exhibits(std::span<const RunRecord> runs, const Arrangement& arrangement) {
  const std::string moving = movements(runs, arrangement);
  std::string html;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    std::string of_run;
    for (const json& exhibit : runs[run].exhibits) {
      if (!is_poses(exhibit)) of_run += exhibit_html(exhibit);
    }
    if (of_run.empty()) continue;
    html += fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", html.empty() ? " open" : "",
                        escape_html(arrangement.run_labels[run]), of_run);
  }
  if (html.empty() && moving.empty()) return "";
  return "<section aria-labelledby=\"exhibits-heading\">\n<h2 id=\"exhibits-heading\">What the models "
         "do</h2>\n" +
         moving + html + "</section>\n";
}

std::string commands(std::span<const RunRecord> runs, const Arrangement& arrangement) {
  std::string html;
  for (std::size_t run = 0; run < runs.size(); ++run) {
    if (runs[run].command.empty()) continue;
    html += fmt::format("<dt>{}</dt><dd><pre><code>{}</code></pre></dd>\n",
                        escape_html(arrangement.run_labels[run]), escape_html(runs[run].command));
  }
  if (html.empty()) {
    return "<p class=\"quiet\">No command lines are recorded. The settings above, together with the "
           "environment, are what a run needs to be repeated.</p>\n";
  }
  return "<dl class=\"commands\">\n" + html + "</dl>\n";
}

}  // namespace

Result<PageContent> report_content(std::span<const RunRecord> runs, const ReportOptions& options) {
  if (runs.empty()) return Status(StatusCode::invalid_argument, "a report needs at least one run, got none");
  if (options.max_points < kFewestPoints) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("max_points must be at least {}, got {}", kFewestPoints, options.max_points));
  }
  const TaskInfo& measures = runs.front().measures;
  for (const RunRecord& run : runs) {
    if (have_same_metrics(run.measures, measures)) continue;
    return Status(
        StatusCode::invalid_argument,
        fmt::format("run '{}' of task {} and run '{}' of task {} are measured by other numbers and cannot "
                    "stand on one page",
                    runs.front().name, runs.front().task, run.name, run.task));
  }
  const Arrangement arrangement = arrange(runs);
  std::vector<RunFigures> figures;
  std::vector<json> settings, surroundings;
  for (const RunRecord& run : runs) {
    figures.push_back(figures_of(run, runs.front()));
    settings.push_back(run.settings);
    settings.back().erase("command");  // it has a section of its own
    surroundings.push_back({{"model", run.model}, {"data", run.data}, {"environment", run.environment}});
  }
  const std::string other_data = data_that_differ(runs);
  for (RunFigures& row : figures) {
    if (other_data.empty()) break;
    row.comparable = false;
    row.difference = kNoValue;
  }
  const std::vector<SettingsColumn> setting_columns = columns_of(arrangement, settings);

  PageContent content;
  content.title = options.title;
  content.layout = assets::page_html;
  content.texts = {
      {"title", escape_html(options.title)},
      {"lead", lead_sentence(runs, arrangement, figures, settings, setting_columns)},
      {"verdict", other_data.empty()
                      ? verdict_sentence(figures, arrangement, measures)
                      : fmt::format("There is no verdict: the runs differ in {}, and scores on other data "
                                    "cannot be compared.",
                                    escape_html(other_data))},
      {"tables", tables(figures, arrangement, measures)},
      {"evaluation_figures", evaluation_figures(measures)},
      {"metric_words", metric_words(measures)},
      {"notes", notes_list(runs, arrangement)},
      {"evaluations", evaluation_table(runs, arrangement)},
      {"exhibits", exhibits(runs, arrangement)},
      {"settings", settings_table(setting_columns, "settings")},
      {"environment", settings_table(columns_of(arrangement, surroundings), "entries")},
      {"commands", commands(runs, arrangement)},
      {"footer", fmt::format("Written by gradstab report{}. This page is one file and loads nothing.",
                             options.generated_at.empty() ? "" : ", " + escape_html(options.generated_at))}};
  content.data = chart_data(runs, arrangement, options.max_points);
  content.script = assets::page_js;
  return content;
}

Result<std::string> render_report(std::span<const RunRecord> runs, const ReportOptions& options) {
  const auto content = report_content(runs, options);
  if (!content) return content.status();
  return render_page(*content);
}

}  // namespace gradstab::lab
