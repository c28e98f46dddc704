#include "lab/inspect/inspect_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lab/inspect/assets.hpp"
#include "lab/inspect/words.hpp"
#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"

namespace gradstab::lab::inspect {
namespace {

using nlohmann::json;

/// Rows of the table of events; the others are in --json.
constexpr std::size_t kMostRows = 40;

/// Enough digits for a mark and for the value beside the cursor.
json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

/// Points in the order of their steps. Where the run went back, of a step the later record.
std::vector<Point> drawn_points(const std::vector<Point>& points) {
  std::map<std::int64_t, Point> by_step;
  for (const Point& point : points) by_step[point.step] = point;
  std::vector<Point> drawn;
  drawn.reserve(by_step.size());
  for (const auto& [step, point] : by_step) drawn.push_back(point);
  return drawn;
}

json data_of(const Findings& findings) {
  const std::vector<Point> points = drawn_points(findings.points);
  json x = json::array(), norm = json::array(), loss = json::array(), median = json::array();
  for (const Point& point : points) {
    x.push_back(point.step);
    norm.push_back(rounded(point.norm));
    loss.push_back(rounded(point.loss));
    median.push_back(rounded(point.median));
  }
  json events = json::array();
  std::map<std::int64_t, double> marks;
  for (const Event& event : findings.events)
    if (std::isfinite(event.peak)) marks[event.peak_step] = event.peak;
  for (const auto& [step, peak] : marks) events.push_back({{"x", step}, {"y", rounded(peak)}});
  json rules = json::array();
  for (std::size_t i = 0; i < findings.rules.size(); ++i) {
    json factor = json::array();
    for (const Point& point : points) factor.push_back(rounded(point.factors[i]));
    rules.push_back(
        {{"key", findings.rules[i].key}, {"title", findings.rules[i].title}, {"factor", std::move(factor)}});
  }
  return {{"name", findings.name},       {"steps", findings.facts.step_name.empty() ? "record" : "step"},
          {"x", std::move(x)},           {"norm", std::move(norm)},
          {"loss", std::move(loss)},     {"median", std::move(median)},
          {"events", std::move(events)}, {"rules", std::move(rules)}};
}

std::string heading(std::string_view text) {
  return fmt::format("<th scope=\"col\">{}</th>", text);
}

std::string cell(double value, std::string_view shown) {
  return fmt::format("<td data-value=\"{}\">{}</td>", exact_number(value), shown);
}

std::string table(std::string_view kind, std::string_view caption, std::string_view head,
                  std::string_view rows) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"{}\"><caption>{}</caption>"
      "<thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>\n",
      kind, caption, head, rows);
}

std::string event_table(const Findings& findings) {
  if (findings.events.empty()) return "";
  std::vector<const Event*> largest;
  for (const Event& event : findings.events) largest.push_back(&event);
  if (largest.size() > kMostRows) {
    std::ranges::nth_element(largest, largest.begin() + kMostRows, std::greater(), &Event::size);
    largest.resize(kMostRows);
    std::ranges::sort(largest, std::less(), &Event::record);
  }
  std::string rows;
  for (const Event* event : largest) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th>{}{}<td>{}</td><td>{}</td>{}{}{}", grouped(event->step),
                        cell(event->peak, significant(event->peak)),
                        cell(event->size, std::isfinite(event->size) ? significant(event->size) : "NaN"),
                        event->spikes, to_string(event->fate),
                        cell(event->loss_before, significant(event->loss_before)),
                        cell(event->loss_at, significant(event->loss_at)),
                        cell(event->loss_after, significant(event->loss_after)));
    for (const double factor : event->factors) rows += cell(factor, significant(factor));
    rows += "</tr>\n";
  }
  std::string head = heading("Step") + heading("Norm") + heading("Size<small>medians</small>") +
                     heading("Spikes") + heading("Loss") + heading("before") + heading("at it") +
                     heading("after");
  for (const Rule& rule : findings.rules)
    head += heading(fmt::format("{}<small>factor</small>", escape_html(rule.title)));
  const std::string caption =
      findings.event_count > static_cast<std::int64_t>(largest.size())
          ? fmt::format("The {} largest of {} events.", largest.size(), grouped(findings.event_count))
          : std::string("The events.");
  return table("numbers", caption, head, rows);
}

std::string rule_table(const Findings& findings) {
  std::string rows;
  for (std::size_t i = 0; i < findings.rules.size(); ++i) {
    const Rule& rule = findings.rules[i];
    const RuleEffect& effect = findings.effects[i];
    const std::string note = reservation(findings, rule.memory);
    rows += fmt::format(
        "<tr><th scope=\"row\">{}</th><td><code>{}</code></td>{}<td>{}</td>{}<td>{}</td></tr>\n",
        escape_html(rule.title), escape_html(rule.text), cell(effect.smallest, significant(effect.smallest)),
        grouped(effect.smallest_step), cell(static_cast<double>(effect.shortened), grouped(effect.shortened)),
        note.empty()                        ? "exact"
        : rule.memory == Memory::short_term ? "a hint only"
                                            : "approximate");
  }
  return table("numbers effects", "What each method would have made of the norms.",
               heading("Method") + heading("--transform") + heading("Smallest factor") + heading("at step") +
                   heading("Records with a factor below 0.99") + heading("On this log"),
               rows);
}

std::string section_html(const Section& section) {
  std::string text =
      fmt::format("<details{}><summary>{}</summary><ul class=\"notes\">",
                  section.title == "What the log shows" ? " open" : "", escape_html(section.title));
  for (const std::string& sentence : section.sentences)
    text += fmt::format("<li>{}</li>\n", escape_html(sentence));
  return text + "</ul></details>\n";
}

bool has_loss(const Findings& findings) {
  return std::ranges::any_of(findings.points, [](const Point& point) { return std::isfinite(point.loss); });
}

/// What a log's part of the layout shows.
Placeholders texts_of(const Inspected& log, std::size_t index) {
  const Findings& findings = log.findings;
  std::string finding = fmt::format("<b>{}.</b>", escape_html(log.verdict.headline));
  for (const std::string& reason : log.verdict.reasons) finding += ' ' + escape_html(reason);
  std::string loss_figure;
  if (has_loss(findings)) {
    loss_figure = fmt::format(
        "<figure data-chart=\"loss-{0}\" data-log=\"{0}\" data-kind=\"loss\">\n<figcaption><b>Training "
        "loss</b> As logged beside the "
        "norms.</figcaption>\n<div class=\"plot\"><canvas role=\"img\" aria-label=\"Line chart of the "
        "training loss over steps\"></canvas></div>\n</figure>\n",
        index);
  }
  std::string sections;
  for (const Section& section : log.verdict.sections) sections += section_html(section);
  const std::string wide = loss_figure.empty() ? " class=\"wide\"" : "";
  return {{"name", breakable_html(findings.name)},
          {"finding", finding},
          {"loss_figure", loss_figure},
          {"factor_class", wide},
          {"reservation", escape_html(reservation(findings, Memory::long_term))},
          {"details", event_table(findings) + "\n" + rule_table(findings) + "\n" + sections}};
}

/// Adds a log's part to the layout of all logs, where the names of its texts end with its number.
void add_log(const Inspected& log, std::size_t index, std::string& layout, Placeholders& texts) {
  Placeholders names = {{"index", std::to_string(index)}};
  for (auto& [name, text] : texts_of(log, index)) {
    const std::string numbered = fmt::format("{}-{}", name, index);
    names[name] = "{{" + numbered + "}}";
    texts[numbered] = text;
  }
  layout += fill(assets::inspect_log_html, names);
}

/// One row for each log; nothing for a single one, whose verdict stands in the lead.
std::string verdict_table(const std::vector<Inspected>& logs) {
  if (logs.size() < 2) return "";
  std::string rows;
  for (std::size_t i = 0; i < logs.size(); ++i) {
    const auto& [findings, verdict] = logs[i];
    rows += fmt::format(
        "<tr><th scope=\"row\"><a "
        "href=\"#log-{}\">{}</a></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        i, breakable_html(findings.name), grouped(findings.overview.records), grouped(findings.event_count),
        findings.events_with(LossFate::stayed), escape_html(verdict.headline));
  }
  return "<section aria-label=\"Verdicts\">\n<div class=\"scroll\" tabindex=\"0\"><table "
         "class=\"verdict\"><thead><tr>" +
         heading("Log") + heading("Records") + heading("Events") + heading("Lasting") + heading("Verdict") +
         "</tr></thead><tbody>\n" + rows + "</tbody></table></div>\n</section>\n";
}

std::string lead_of(const std::vector<Inspected>& logs) {
  if (logs.size() > 1) return fmt::format("{} logs, each with its verdict.", logs.size());
  return escape_html(logs.front().verdict.headline + ".");
}

}  // namespace

PageContent inspect_content(const std::vector<Inspected>& logs) {
  PageContent content;
  content.title = "gradstab inspect";
  content.script = assets::inspect_js;
  content.texts = {{"title", "Would GradientStabilizer have anything to do here?"},
                   {"lead", lead_of(logs)},
                   {"verdicts", verdict_table(logs)},
                   {"footer", "Written by gradstab inspect. This page is one file and loads nothing."}};
  content.data = {{"logs", json::array()}};
  std::string layout;
  for (std::size_t i = 0; i < logs.size(); ++i) {
    content.data["logs"].push_back(data_of(logs[i].findings));
    add_log(logs[i], i, layout, content.texts);
  }
  content.layout = assets::inspect_html;
  constexpr std::string_view kLogs = "{{logs}}";
  content.layout.replace(content.layout.find(kLogs), kLogs.size(), layout);
  return content;
}

std::string render_inspect_page(const std::vector<Inspected>& logs) {
  return render_page(inspect_content(logs));
}

}  // namespace gradstab::lab::inspect
