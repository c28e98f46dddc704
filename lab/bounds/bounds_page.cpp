#include "lab/bounds/bounds_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "lab/bounds/assets.hpp"
#include "lab/bounds/heat_maps.hpp"
#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

/// The spikes that are drawn, as many of the summary's first.
constexpr std::size_t kCurves = 3;
constexpr std::size_t kSentenceRow = 2;  // a spike of 1000 times the norm

/// Enough digits for a colour and for the value beside the cursor.
json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr);
}

json heat_map_data(const BoundsRequest& request) {
  const HeatMaps maps = heat_maps(request);
  json spike = json::array(), build_up = json::array(), bound = json::array(), robust = json::array();
  for (const BoundFactors& factors : maps.published) {
    spike.push_back(rounded(factors.spike));
    build_up.push_back(rounded(factors.build_up));
    bound.push_back(rounded(factors.bound));
  }
  for (const double value : maps.robust_bound) robust.push_back(rounded(value));
  json one_minus_gamma2 = json::array();
  for (const double value : maps.one_minus_gamma2) one_minus_gamma2.push_back(rounded(value));
  return {{"gamma1", maps.gamma1},
          {"one_minus_gamma2", std::move(one_minus_gamma2)},
          {"maps",
           {{"spike", std::move(spike)},
            {"build_up", std::move(build_up)},
            {"bound", std::move(bound)},
            {"robust_bound", std::move(robust)}}}};
}

/// A little beyond the step at which the slowest of the drawn tensors has recovered.
std::int64_t last_drawn_step(const BoundsSummary& summary) {
  constexpr std::int64_t kFewest = 100;
  std::int64_t last = kFewest;
  for (std::size_t i = 0; i < kCurves; ++i) {
    const RecoveryRow& row = summary.recoveries[i];
    last = std::max(last, row.published.steps_until_nine_tenths.value_or(kMostStepsAfterSpike));
    if (row.robust) last = std::max(last, row.robust->steps_until_nine_tenths.value_or(kMostStepsAfterSpike));
  }
  return std::min(last + last / 10, kMostStepsAfterSpike);
}

json curve_data(const BoundsSummary& summary) {
  const BoundsRequest& request = summary.request;
  const std::int64_t last = last_drawn_step(summary);
  json curves = json::array();
  const auto add = [&](const StabilizerOptions& options, const char* rule) {
    const NormMoments history = constant_history(options, request.history);
    for (std::size_t i = 0; i < kCurves; ++i) {
      const double ratio = summary.recoveries[i].ratio;
      json x = json::array(), y = json::array();
      for (const SpikeCurvePoint& point : spike_curve(options, history, ratio, last)) {
        x.push_back(point.step);
        y.push_back(rounded(point.rho));
      }
      curves.push_back({{"rule", rule}, {"ratio", ratio}, {"x", std::move(x)}, {"y", std::move(y)}});
    }
  };
  add(request.published(true), "published");
  if (request.kappa > 0.0) add(request.robust(true), "robust");
  return curves;
}

/// Four significant digits: 15.82, 0.9530, 3.15e-05.
std::string figure(double value) {
  if (!(value >= 1e-3 && value < 9999.5)) return significant(value);
  std::string text = fmt::format("{:#.4g}", value);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string table(std::string_view caption, std::string_view head, std::string_view rows) {
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\"><table class=\"numbers\"><caption>{}</caption>"
      "<thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>\n",
      caption, head, rows);
}

std::string heading(std::string_view text) {
  return fmt::format("<th scope=\"col\">{}</th>", text);
}

std::string cell(double value, std::string_view shown) {
  return fmt::format("<td data-value=\"{}\">{}</td>", exact_number(value), shown);
}

std::string bound_cell(double value) {
  return cell(value, std::isfinite(value) ? figure(value) : "none");
}

std::string steps_until(const std::optional<std::int64_t>& steps) {
  if (!steps) return "more than " + grouped_integer(static_cast<double>(kMostStepsAfterSpike));
  return *steps == 0 ? "never below" : grouped_integer(static_cast<double>(*steps));
}

std::string steps_cell(const std::optional<std::int64_t>& steps) {
  return cell(steps ? static_cast<double>(*steps) : HUGE_VAL, steps_until(steps));
}

std::string response_cells(const SpikeResponse& response) {
  return cell(response.on_spike, figure(response.on_spike)) +
         cell(response.smallest_after, figure(response.smallest_after)) +
         steps_cell(response.steps_until_half) + steps_cell(response.steps_until_nine_tenths);
}

std::string recovery_table(const BoundsSummary& summary) {
  std::string rows;
  const auto row = [&](double ratio, const std::string& rule, const SpikeResponse& response) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td>{}</tr>\n", grouped_integer(ratio), rule,
                        response_cells(response));
  };
  for (const RecoveryRow& recovery : summary.recoveries) {
    row(recovery.ratio, "published", recovery.published);
    if (recovery.robust)
      row(recovery.ratio, fmt::format("robust, \u03ba\u00a0=\u00a0{:g}", summary.request.kappa),
          *recovery.robust);
  }
  return table("One spike, released form, simulated step by step.",
               heading("Spike<small>times the norm</small>") + heading("Rule") +
                   heading("\u03c1 on the spike") + heading("Smallest \u03c1 after it") +
                   heading("Steps until \u03c1 \u2265 0.5") + heading("Steps until \u03c1 \u2265 0.9"),
               rows);
}

std::string step_table(std::string_view caption, const std::vector<StepRow>& rows) {
  const bool robust = rows.front().robust.has_value();
  std::string body;
  for (const StepRow& row : rows) {
    body += fmt::format("<tr><th scope=\"row\">{}</th>{}{}", grouped_integer(static_cast<double>(row.step)),
                        bound_cell(row.published.paper), bound_cell(row.published.released));
    if (row.robust) body += bound_cell(row.robust->paper) + bound_cell(row.robust->released);
    body += "</tr>\n";
  }
  std::string head = heading("Step") + heading("Paper form") + heading("Released form");
  if (robust) head += heading("Paper form, robust") + heading("Released form, robust");
  return table(caption, head, body);
}

/// The uniform bound at a few gammas: what the heat map shows, for those who cannot see it.
std::string bound_table(const BoundsRequest& request) {
  constexpr double kGamma1[] = {0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99};
  constexpr double kGamma2[] = {0.9, 0.99, 0.999, 0.9999, 0.99999};
  std::string head = heading("\u03b3\u2081");
  for (const double gamma2 : kGamma2) head += heading(fmt::format("\u03b3\u2082 = {:g}", gamma2));
  std::string rows;
  for (const double gamma1 : kGamma1) {
    rows += fmt::format("<tr><th scope=\"row\">{:g}</th>", gamma1);
    for (const double gamma2 : kGamma2) {
      BoundsRequest point = request;
      point.gamma1 = gamma1;
      point.gamma2 = gamma2;
      rows += bound_cell(bound_factors(point).bound);
    }
    rows += "</tr>\n";
  }
  return table("Uniform bound of \u03c1, published rule.", head, rows);
}

std::string aftermath(const SpikeResponse& response) {
  if (response.steps_until_half == 0)
    return fmt::format("\u03c1 never falls below {} afterwards", figure(response.smallest_after));
  return fmt::format("it takes {} steps until \u03c1 is back at half of its usual value",
                     steps_until(response.steps_until_half));
}

/// The page in two sentences.
std::string lead_sentence(const BoundsSummary& summary) {
  const BoundsRequest& request = summary.request;
  std::string text = fmt::format("With \u03b3\u2081 = {:g} and \u03b3\u2082 = {} ", request.gamma1,
                                 exact_number(request.gamma2));
  if (std::isfinite(summary.uniform_bound)) {
    text += fmt::format(
        "the stabilized norm \u03c1 never exceeds <b>{:.4g}</b>, whatever the gradients are and at any step.",
        summary.uniform_bound);
  } else {
    text +=
        "there is <b>no bound</b> on the stabilized norm \u03c1 that holds at every step: \u03b3\u2081\u00b2 "
        "is not below \u03b3\u2082.";
  }
  const RecoveryRow& row = summary.recoveries[kSentenceRow];
  text += fmt::format(" A spike of {:g} times the usual norm comes out as {}, and {}.", row.ratio,
                      figure(row.published.on_spike), aftermath(row.published));
  if (row.robust) {
    text += fmt::format(" With robust moments (\u03ba\u00a0=\u00a0{:g}) it comes out as {}, and {}.",
                        request.kappa, figure(row.robust->on_spike), aftermath(*row.robust));
  }
  return text;
}

std::string at_chosen_point(double value) {
  return std::isfinite(value) ? figure(value) : std::string("no bound");
}

/// For which kappa the bound at the chosen point is below the published one.
std::string tighter_for(double kappa_of_no_effect) {
  if (!(kappa_of_no_effect > 1.0)) return "for no \u03ba";
  if (std::isinf(kappa_of_no_effect)) return "for every \u03ba";
  return fmt::format("for \u03ba below\u00a0{:.5g} only", kappa_of_no_effect);
}

std::string robust_figure(const BoundsSummary& summary) {
  if (!summary.robust_uniform_bound) return "";
  return fmt::format(
      "<figure data-map=\"robust_bound\">\n<figcaption><b>Uniform bound with robust moments, \u03ba = "
      "{:g}</b> Released form, any norms: at most \u03b3\u2081 + (1 \u2212 \u03b3\u2081) \u03ba where "
      "\u03b3\u2081\u00b2 is well below \u03b3\u2082. At the chosen point: {}; there it is tighter "
      "{}.</figcaption>\n<div class=\"plot\"><canvas role=\"img\" aria-label=\"Heat map "
      "of the uniform bound with robust moments over gamma1 and gamma2\"></canvas></div>\n</figure>\n",
      summary.request.kappa, at_chosen_point(*summary.robust_uniform_bound),
      tighter_for(summary.kappa_of_no_effect));
}

std::string rules_sentence(double kappa) {
  if (kappa > 0.0) {
    return fmt::format(
        "Solid: the published rule. Dashed: robust moments, \u03ba\u00a0=\u00a0{:g}; where lines coincide, "
        "their dashes alternate.",
        kappa);
  }
  return "Drawn for the published rule; the option <code>--robust-kappa 3</code> adds robust moments for "
         "comparison.";
}

std::string spike_caption(double kappa) {
  return std::string("\u03c1 of an arbitrarily large norm at a step, after constant ones") +
         (kappa > 0.0 ? "; with robust moments, of any norm above \u03ba times them." : ".");
}

}  // namespace

std::string render_bounds_page(const BoundsSummary& summary) {
  const BoundsRequest& request = summary.request;
  const BoundFactors factors = bound_factors(request);
  json data = heat_map_data(request);
  data["chosen"] = {{"gamma1", request.gamma1}, {"one_minus_gamma2", 1.0 - request.gamma2}};
  data["curves"] = curve_data(summary);
  std::string body =
      fill(assets::bounds_html,
           {{"lead", lead_sentence(summary)},
            {"spike", at_chosen_point(factors.spike)},
            {"build_up", at_chosen_point(factors.build_up)},
            {"bound", at_chosen_point(factors.bound)},
            {"robust_figure", robust_figure(summary)},
            {"bound_table", bound_table(request)},
            {"history", grouped_integer(static_cast<double>(request.history))},
            {"rules", rules_sentence(request.kappa)},
            {"recovery_table", recovery_table(summary)},
            {"step_table", step_table("The least upper bound of \u03c1 at a step.", summary.step_bounds)},
            {"spike_table", step_table(spike_caption(request.kappa), summary.spikes_at_step)}});
  return render_page("GradientStabilizer: bounds on the stabilized norm", std::move(body), data,
                     assets::bounds_js);
}

}  // namespace gradstab::lab
