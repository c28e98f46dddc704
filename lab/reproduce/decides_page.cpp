#include "lab/reproduce/decides_page.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"
#include "lab/reproduce/assets.hpp"
#include "lab/reproduce/factors.hpp"
#include "lab/reproduce/names.hpp"
#include "lab/reproduce/rank_correlation.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

/// What is shown beside each other: the method, norm clip, and the controls.
constexpr std::array<std::string_view, 6> kShown = {kMethod, "robust", "clip", "normalize", "beta2", "scale"};
/// The control that every item has.
constexpr std::string_view kControl = "normalize";
/// Fewer make no chart.
constexpr std::size_t kFewestDots = 4;

std::string label_of(std::string_view arm) {
  return arm_label(std::string(arm));
}

/// Of a difference of scores.
std::string unit_of(const TaskInfo& measures) {
  const Metric& metric = measures.score();
  if (metric.unit == "%") return "percentage points";
  return metric.unit.empty() ? metric.noun : metric.unit;
}

/// How a gain is written.
struct GainFormat {
  GainUnit unit = GainUnit::own;
  int digits = 1;
};

GainFormat own_format(const TaskInfo& measures) {
  return {GainUnit::own, std::max(measures.score().digits - 1, 0)};
}

constexpr GainFormat kPercent = {GainUnit::percent_learned, 1};

// Charts.

json rounded(double value) {
  return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr);
}

json dot(double x, double y, const std::string& name) {
  return {rounded(x), rounded(y), name};
}

/// Chart.js looks for dots by their place.
json from_left_to_right(std::vector<json> dots) {
  std::ranges::stable_sort(dots, {}, [](const json& each) { return each[0].get<double>(); });
  return dots;
}

json line_of(std::string_view arm) {
  return {{"label", label_of(arm)},
          {"arm", arm},
          {"control", is_control(std::string(arm))},
          {"mean", json::array()},
          {"seeds", json::array()}};
}

json chart_of(const std::string& title, const std::string& caption, const std::string& x,
              const std::string& y) {
  return {{"title", title}, {"caption", caption}, {"x", x},
          {"y", y},         {"log_x", false},     {"log_y", false},
          {"dots", true},   {"scatter", true},    {"lines", json::array()}};
}

/// One dot per configuration, at its own value. Null where fewer than two values differ.
json chart_of_number(const Factor& factor, const std::string& domain, const TaskInfo& measures) {
  json chart = chart_of(fmt::format("{}: {}", as_heading(domain), factor.name), factor.about, factor.axis,
                        "gain, " + unit_of(measures));
  chart["log_x"] = factor.logarithmic;
  std::size_t dots = 0, placeless = 0;
  std::vector<double> places;
  for (const std::string_view arm : kShown) {
    json line = line_of(arm);
    std::vector<json> of_arm;
    for (std::size_t i = 0; i < factor.members.size(); ++i) {
      const Comparison& each = *factor.members[i];
      const ArmGain* const gain = each.find(arm);
      if (gain == nullptr) continue;
      const double x = factor.values[i];
      if (!std::isfinite(x) || (factor.logarithmic && x <= 0.0)) {
        placeless += arm == kMethod ? 1 : 0;
        continue;
      }
      of_arm.push_back(dot(x, gain->mean(), each.name()));
      if (arm == kMethod) places.push_back(x);
    }
    if (of_arm.empty()) continue;
    dots = std::max(dots, of_arm.size());
    line["mean"] = from_left_to_right(std::move(of_arm));
    chart["lines"].push_back(std::move(line));
  }
  if (placeless > 0)
    chart["caption"] = fmt::format("{} {} of {} configurations had norms that are not finite, and no place.",
                                   factor.about, placeless, factor.members.size());
  if (dots < kFewestDots || std::ranges::min(places) == std::ranges::max(places)) return nullptr;
  return chart;
}

/// Where an arm's dots stand beside the middle of a group, so that they do not hide each other.
double beside(std::size_t place, std::size_t arms) {
  constexpr double kWidth = 0.6;
  return kWidth * ((static_cast<double>(place) + 0.5) / static_cast<double>(arms) - 0.5);
}

/// One group per level: small dots are configurations, large ones their mean.
json chart_of_levels(json chart, const std::vector<Level>& levels, GainUnit unit) {
  std::vector<std::string_view> arms;
  std::size_t dots = 0;
  for (const std::string_view arm : kShown) {
    if (std::ranges::any_of(levels,
                            [&](const Level& level) { return pooled(level.members, arm, unit).pairs > 0; }))
      arms.push_back(arm);
  }
  chart["categories"] = json::array();
  for (const Level& level : levels) {
    chart["categories"].push_back(level.label);
    dots += level.members.size();
  }
  for (std::size_t place = 0; place < arms.size(); ++place) {
    json line = line_of(arms[place]);
    json configurations = json::array();
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const double x = static_cast<double>(i) + beside(place, arms.size());
      for (const Comparison* each : levels[i].members) {
        const ArmGain* const gain = each->find(arms[place]);
        const double y = gain == nullptr ? kNoValue : gain_in(*each, *gain, unit);
        if (std::isfinite(y)) configurations.push_back(dot(x, y, each->name()));
      }
      const Pooled group = pooled(levels[i].members, arms[place], unit);
      if (group.gain.finite > 0) line["mean"].push_back(dot(x, group.gain.mean, levels[i].label + ", mean"));
    }
    line["seeds"].push_back(std::move(configurations));
    chart["lines"].push_back(std::move(line));
  }
  return dots < kFewestDots ? json(nullptr) : chart;
}

std::vector<Level> domains_of(const std::vector<Comparison>& comparisons) {
  std::vector<Level> levels;
  for (const std::string& task : tasks_in_order(comparisons)) {
    Level level{domain_of(task), ordinary(of_task(comparisons, task))};
    if (!level.members.empty()) levels.push_back(std::move(level));
  }
  return levels;
}

// Tables.

std::string gain_text(double value, const GainFormat& format) {
  return signed_decimals(value, format.digits);
}

std::string interval_text(const Interval& interval, const GainFormat& format) {
  return fmt::format("{} to {}", gain_text(interval.low, format), gain_text(interval.high, format));
}

std::string pooled_cell(const Configurations& members, std::string_view arm, const GainFormat& format) {
  const Pooled group = pooled(members, arm, format.unit);
  if (group.gain.finite == 0) return fmt::format("<td>{}</td>", kNothing);
  std::string html = fmt::format("<td data-value=\"{}\">{}", exact_number(group.gain.mean),
                                 gain_text(group.gain.mean, format));
  std::string spread;
  if (std::isfinite(group.gain.deviation))
    spread = fmt::format("± {}, ", decimals(group.gain.deviation, format.digits));
  html += fmt::format("<small>{}{} ({})</small>", spread, group.gain.finite, group.pairs);
  if (group.interval.is_known())
    html += fmt::format("<small>{}</small>", interval_text(group.interval, format));
  if (arm != kMethod) html += fmt::format("<small>as good: {} of {}</small>", group.as_good, group.compared);
  return html + "</td>";
}

std::vector<std::string_view> arms_of(const Configurations& members) {
  std::vector<std::string_view> arms;
  for (const std::string_view arm : kShown)
    if (pooled(members, arm, GainUnit::own).pairs > 0) arms.push_back(arm);
  return arms;
}

std::string table_head(const std::string& first, const std::vector<std::string_view>& arms) {
  std::string html = fmt::format(
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"numbers effects\"><thead><tr><th "
      "scope=\"col\">{}</th>",
      escape_html(first));
  for (const std::string_view arm : arms)
    html += fmt::format("<th scope=\"col\">{}</th>", escape_html(label_of(arm)));
  return html + "</tr></thead>\n";
}

std::string row_of(const std::string& label, const Configurations& members,
                   const std::vector<std::string_view>& arms, const GainFormat& format) {
  std::string html = fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(label));
  for (const std::string_view arm : arms) html += pooled_cell(members, arm, format);
  return html + "</tr>\n";
}

/// The groups of one task, in the unit of its score.
std::string group_table(const Configurations& all) {
  const TaskInfo& measures = all.front()->measures;
  const GainFormat format = own_format(measures);
  const auto arms = arms_of(all);
  std::string html = fmt::format("<h3>{}</h3>\n<p class=\"quiet\">Gains in {}, {}.</p>\n",
                                 as_heading(domain_of(measures.name)), escape_html(unit_of(measures)),
                                 escape_html(measures.held_out));
  html += table_head("Group", arms) + "<tbody>\n" +
          row_of("all that nobody disturbed", ordinary(all), arms, format) + "</tbody>\n";
  for (const Factor& factor : factors_of(all)) {
    html += fmt::format("<tbody>\n<tr><th colspan=\"{}\" scope=\"rowgroup\">{}<small>{}</small></th></tr>\n",
                        arms.size() + 1, escape_html(as_heading(factor.name)), escape_html(factor.about));
    for (const Level& level : factor.levels) html += row_of(level.label, level.members, arms, format);
    html += "</tbody>\n";
  }
  return html + "</table></div>\n";
}

std::string domain_table(const std::vector<Level>& domains) {
  Configurations all;
  for (const Level& level : domains) all.insert(all.end(), level.members.begin(), level.members.end());
  const auto arms = arms_of(all);
  std::string html = table_head("Domain", arms) + "<tbody>\n";
  for (const Level& level : domains) html += row_of(level.label, level.members, arms, kPercent);
  return html + "</tbody></table></div>\n";
}

/// Of the gain of an arm with a number of the configurations; and of how many.
std::string correlation_text(const Factor& factor, std::string_view arm) {
  std::vector<double> x, y;
  for (std::size_t i = 0; i < factor.members.size(); ++i) {
    const ArmGain* const gain = factor.members[i]->find(arm);
    if (gain == nullptr || !std::isfinite(factor.values[i])) continue;
    x.push_back(factor.values[i]);
    y.push_back(gain->mean());
  }
  const double rho = rank_correlation(x, y);
  return std::isfinite(rho) ? fmt::format("{} ({})", signed_decimals(rho, 2), x.size())
                            : std::string(kNothing);
}

/// The factors that say how spiky a configuration is.
std::vector<Factor> spikiness_of(const Configurations& all) {
  std::vector<Factor> factors = factors_of(all);
  std::erase_if(factors, [](const Factor& factor) {
    return !factor.is_number || factor.members.size() < kFewestDots ||
           !std::ranges::all_of(factor.members, [](const Comparison* each) { return is_ordinary(*each); });
  });
  return factors;
}

std::string rank_table(const std::vector<Comparison>& comparisons) {
  Configurations all;
  for (const Comparison& each : comparisons) all.push_back(&each);
  const auto arms = arms_of(all);
  std::string html = table_head("Gain against", arms);
  for (const std::string& task : tasks_in_order(comparisons)) {
    const auto factors = spikiness_of(of_task(comparisons, task));
    if (factors.empty()) continue;
    html += fmt::format("<tbody>\n<tr><th colspan=\"{}\" scope=\"rowgroup\">{}</th></tr>\n", arms.size() + 1,
                        as_heading(domain_of(task)));
    for (const Factor& factor : factors) {
      html += fmt::format("<tr><th scope=\"row\">{}</th>", escape_html(factor.name));
      for (const std::string_view arm : arms)
        html += fmt::format("<td>{}</td>", correlation_text(factor, arm));
      html += "</tr>\n";
    }
    html += "</tbody>\n";
  }
  return html + "</table></div>\n";
}

std::string configuration_rows(const std::vector<Comparison>& comparisons) {
  Configurations all;
  for (const Comparison& each : comparisons) all.push_back(&each);
  const auto arms = arms_of(all);
  std::string html =
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"numbers effects\"><thead><tr><th "
      "scope=\"col\">Configuration</th><th scope=\"col\">Norm spikes<small>per 1,000 updates</small></th><th "
      "scope=\"col\">Largest norm<small>over the median</small></th>";
  for (const std::string_view arm : arms)
    html += fmt::format("<th scope=\"col\">{}<small>gain</small></th>", escape_html(label_of(arm)));
  html += "</tr></thead><tbody>\n";
  for (const Comparison* each : all) {
    const GainFormat format = own_format(each->measures);
    html += fmt::format("<tr><th scope=\"row\">{}<small>{}, in {}</small></th><td>{}</td><td>{}</td>",
                        escape_html(each->name()), escape_html(domain_of(each->measures.name)),
                        escape_html(unit_of(each->measures)), decimals(each->norm_spikes, 1),
                        std::isinf(each->largest_norm) ? "not finite" : decimals(each->largest_norm, 1));
    for (const std::string_view arm : arms) {
      const ArmGain* const gain = each->find(arm);
      html += gain == nullptr ? fmt::format("<td>{}</td>", kNothing)
                              : fmt::format("<td data-value=\"{}\">{}</td>", exact_number(gain->mean()),
                                            gain_text(gain->mean(), format));
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

// What it says, in numbers.

std::string lead(const std::vector<Level>& domains) {
  std::string text =
      "Over the configurations that nobody disturbed, and in percent of what is learned without "
      "a method, the gains are, by domain:";
  for (const Level& level : domains) {
    const Pooled method = pooled(level.members, kMethod, GainUnit::percent_learned);
    const Pooled unit_norm = pooled(level.members, kControl, GainUnit::percent_learned);
    text += fmt::format(" {} ({} configurations) {} % with {}", as_heading(level.label), method.gain.finite,
                        gain_text(method.gain.mean, kPercent), label_of(kMethod));
    if (method.interval.is_known())
      text += fmt::format(" (95 % interval {})", interval_text(method.interval, kPercent));
    if (unit_norm.pairs > 0) {
      text += fmt::format(", {} % with the control of unit norm, which ends at least as well in {} of {}",
                          gain_text(unit_norm.gain.mean, kPercent), unit_norm.as_good, unit_norm.compared);
    }
    text += ".";
  }
  return text;
}

/// "GradientStabilizer +0.123; norm clip 1 +0.100" of the arms that some of the members have.
std::string gains_text(const Configurations& members, const std::vector<std::string_view>& arms,
                       const GainFormat& format) {
  std::vector<std::string> texts;
  for (const std::string_view arm : arms) {
    const Pooled group = pooled(members, arm, format.unit);
    if (group.gain.finite > 0) texts.push_back(label_of(arm) + " " + gain_text(group.gain.mean, format));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

/// What the groups of the task with most configurations say.
std::string findings(const std::vector<Comparison>& comparisons) {
  Configurations most;
  for (const std::string& task : tasks_in_order(comparisons)) {
    Configurations members = of_task(comparisons, task);
    if (members.size() > most.size()) most = std::move(members);
  }
  if (most.empty()) return "";
  const GainFormat format = own_format(most.front()->measures);
  std::string html = fmt::format("<li>{}, in {}: ", as_heading(domain_of(most.front()->measures.name)),
                                 escape_html(unit_of(most.front()->measures)));
  const Configurations undisturbed = ordinary(most);
  const auto worse = std::ranges::count_if(
      undisturbed, [](const Comparison* each) { return each->find(kMethod)->mean() < 0.0; });
  html += fmt::format("{}. {} is worse than no method in {} of {} configurations.</li>\n",
                      escape_html(gains_text(undisturbed, arms_of(undisturbed), format)), label_of(kMethod),
                      worse, undisturbed.size());
  for (const Factor& factor : factors_of(most)) {
    std::vector<std::string> levels;
    for (const Level& level : factor.levels) {
      const Pooled method = pooled(level.members, kMethod, format.unit);
      const Pooled control = pooled(level.members, kControl, format.unit);
      std::string text = fmt::format("{} {}", level.label, gain_text(method.gain.mean, format));
      if (control.gain.finite > 0) text += fmt::format(" ({})", gain_text(control.gain.mean, format));
      levels.push_back(std::move(text));
    }
    html += fmt::format("<li>{}: {}.</li>\n", escape_html(as_heading(factor.name)),
                        escape_html(fmt::format("{}", fmt::join(levels, "; "))));
  }
  return html;
}

std::string repeated_text(const std::vector<Records>& reproductions, std::size_t kept) {
  std::size_t contexts = 0;
  for (const Records& records : reproductions) {
    for (const std::string& horizon : horizons_in_order(records)) {
      for (const Settings& context : contexts_in_order(records, horizon)) {
        contexts += std::ranges::any_of(records.runs, [&](const ItemRun& run) {
          return run.horizon == horizon && run.coordinates == context && run.arm == "none";
        });
      }
    }
  }
  return fmt::format(
      "one that stands in several items counts once: {} contexts without a method make {} configurations.",
      contexts, kept);
}

}  // namespace

json decides_charts(const std::vector<Comparison>& comparisons) {
  json charts = json::array();
  const auto add = [&](json chart) {
    if (!chart.is_null()) charts.push_back(std::move(chart));
  };
  for (const std::string& task : tasks_in_order(comparisons)) {
    const Configurations all = of_task(comparisons, task);
    const TaskInfo& measures = all.front()->measures;
    for (const Factor& factor : factors_of(all)) {
      if (factor.is_number) {
        add(chart_of_number(factor, domain_of(task), measures));
        continue;
      }
      add(chart_of_levels(chart_of(fmt::format("{}: {}", as_heading(domain_of(task)), factor.name),
                                   factor.about, factor.axis, "gain, " + unit_of(measures)),
                          factor.levels, GainUnit::own));
    }
  }
  const auto domains = domains_of(comparisons);
  if (domains.size() > 1) {
    add(chart_of_levels(
        chart_of("Domains", "In percent of what the runs without a method learn.", "domain", "gain, %"),
        domains, GainUnit::percent_learned));
  }
  return charts;
}

std::string render_decides_page(const std::vector<Records>& reproductions) {
  const std::vector<Comparison> comparisons = compare_with_no_method(reproductions);
  const std::vector<Level> domains = domains_of(comparisons);
  const std::string title = "What decides whether it helps";
  std::string groups;
  for (const std::string& task : tasks_in_order(comparisons))
    groups += group_table(of_task(comparisons, task));
  std::string body =
      fill(assets::decides_html, {{"title", title},
                                  {"lead", escape_html(lead(domains))},
                                  {"findings", findings(comparisons)},
                                  {"method", label_of(kMethod)},
                                  {"groups", groups},
                                  {"domains", domain_table(domains)},
                                  {"ranks", rank_table(comparisons)},
                                  {"repeated", repeated_text(reproductions, comparisons.size())},
                                  {"count", std::to_string(comparisons.size())},
                                  {"configurations", configuration_rows(comparisons)}});
  return render_page(title, std::move(body), {{"charts", decides_charts(comparisons)}}, assets::charts_js);
}

}  // namespace gradstab::lab
