// gradstab bounds
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"
#include "cli/values.hpp"
#include "lab/bounds/bounds_page.hpp"
#include "lab/bounds/bounds_summary.hpp"
#include "lab/support/files.hpp"

namespace gradstab::cli {
namespace {

struct BoundsArguments {
  lab::BoundsRequest request;
  bool json = false;
  std::string html;
  bool force = false;
};

std::string bound_text(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "none";
}

/// From which kappa on robust moments change nothing about the uniform bound.
std::string effect_text(double kappa_of_no_effect) {
  if (!(kappa_of_no_effect > 1.0)) return "robust moments tighten it for no kappa";
  if (std::isinf(kappa_of_no_effect)) return "robust moments tighten it for every kappa";
  return fmt::format("robust moments tighten it below kappa {:.5g} only", kappa_of_no_effect);
}

void print_uniform_bound(const lab::BoundsSummary& summary) {
  const lab::BoundsRequest& request = summary.request;
  print("Uniform bound: rho is never larger, for any gradients (Lemma 3.6).\n");
  print("  {:<29}{:>10}", "published rule, paper form", bound_text(summary.uniform_bound));
  if (std::isinf(summary.uniform_bound)) {
    print("  (gamma1^2 = {:g} is not below gamma2)", request.gamma1 * request.gamma1);
  }
  print("\n");
  if (!summary.robust_uniform_bound) return;
  print("  {:<29}{:>10}\n", fmt::format("robust, kappa {:g}, released", request.kappa),
        bound_text(*summary.robust_uniform_bound));
  print("  {}\n", effect_text(summary.kappa_of_no_effect));
}

/// Six decimals, as long as they fit a column.
std::string figure(double value) {
  if (!std::isfinite(value)) return "none";
  return fmt::format(fmt::runtime(value < 1e4 ? "{:.6f}" : "{:.5g}"), value);
}

void print_steps(const std::vector<lab::StepRow>& rows) {
  const auto print_row = [](const auto& step, const auto& paper, const auto& released) {
    print("  {:>8}  {:>12}{:>12}", step, paper, released);
  };
  const bool robust = rows.front().robust.has_value();
  if (robust) print("  {:>8}  {:>24}  {:>24}\n", "", "published rule", "robust moments");
  print_row("step", "paper", "released");
  print("{}\n", robust ? fmt::format("  {:>12}{:>12}", "paper", "released") : "");
  for (const lab::StepRow& row : rows) {
    print_row(row.step, figure(row.published.paper), figure(row.published.released));
    if (row.robust) print("  {:>12}{:>12}", figure(row.robust->paper), figure(row.robust->released));
    print("\n");
  }
}

std::string steps_text(const std::optional<std::int64_t>& steps) {
  if (!steps) return fmt::format("> {}", lab::kMostStepsAfterSpike);
  return *steps == 0 ? "never below" : std::to_string(*steps);
}

void print_recoveries(const lab::BoundsSummary& summary) {
  const auto print_row = [](const std::string& ratio, const char* rule, const lab::SpikeResponse& response) {
    print("  {:>8}  {:<9}  {:>9.4g}  {:>9.3g}  {:>13}  {:>13}\n", ratio, rule, response.on_spike,
          response.smallest_after, steps_text(response.steps_until_half),
          steps_text(response.steps_until_nine_tenths));
  };
  print("  {:>8}  {:<9}  {:>9}  {:>9}  {:>28}\n", "", "", "rho", "smallest", "steps after it until rho is");
  print("  {:>8}  {:<9}  {:>9}  {:>9}  {:>13}  {:>13}\n", "spike", "rule", "on it", "after it", ">= 0.5",
        ">= 0.9");
  for (const lab::RecoveryRow& row : summary.recoveries) {
    print_row(fmt::format("{:.0f}x", row.ratio), "published", row.published);
    if (row.robust) print_row("", "robust", *row.robust);
  }
}

void print_text(const lab::BoundsSummary& summary) {
  const lab::BoundsRequest& request = summary.request;
  const bool robust = request.kappa > 0.0;
  print("Bounds on rho, the norm of a gradient after GradientStabilizer\n");
  print("gamma1 {:g}, gamma2 {}, {}\n\n", request.gamma1, request.gamma2,
        robust ? fmt::format("published rule and robust moments with kappa {:g}", request.kappa)
               : std::string("published rule (--robust-kappa 3 adds robust moments)"));
  print_uniform_bound(summary);

  print(
      "\nBound at each step: the least upper bound of rho over all gradients so far.\n"
      "The released form (the default) has bias correction, the paper form has none.\n\n");
  print_steps(summary.step_bounds);

  print("\nSpike at each step: rho of an arbitrarily large norm after constant ones");
  print_raw(robust ? ";\nwith robust moments, of any norm above kappa times them.\n\n" : ".\n\n");
  print_steps(summary.spikes_at_step);

  print(
      "\nSpike by size: bound of rho for a norm at least r times the first moment before\n"
      "it, at any step (Lemma 3.4; paper form, published rule).\n\n");
  print("  {:>8}  {:>12}\n", "r", "paper");
  for (const lab::RatioRow& row : summary.spike_bounds)
    print("  {:>8}  {:>12}\n", fmt::format("{:g}", row.ratio), figure(row.paper));

  print(
      "\nAfter a spike: {} steps of constant norm, one spike of so many times that\n"
      "norm, then the constant norm again. Until the second moment has forgotten the\n"
      "spike, the gradient comes out too short (released form, simulated; 1 is usual).\n\n",
      request.history);
  print_recoveries(summary);
}

int run_bounds(const BoundsArguments& arguments) {
  if (Status status = arguments.request.validate(); !status.ok()) return exit_code_for(status);
  const std::filesystem::path page = arguments.html;
  if (Status status = page.empty() ? Status() : check_not_there(page, "--html", arguments.force);
      !status.ok())
    return exit_code_for(status);
  const lab::BoundsSummary summary = lab::summarize_bounds(arguments.request);
  if (!page.empty()) {
    if (Status status = lab::write_file_atomically(page, lab::render_bounds_page(summary)); !status.ok())
      return exit_code_for(status);
  }
  if (arguments.json) {
    print_raw(lab::to_json(summary).dump(2) + "\n");
    return kExitOk;
  }
  print_text(summary);
  if (!page.empty()) print("\npage     {}\n", std::filesystem::absolute(page).string());
  return kExitOk;
}

}  // namespace

void add_bounds(CLI::App& app, Action& action) {
  CLI::App* bounds =
      app.add_subcommand("bounds", "how large and how small the stabilized norm can get, for given gammas");
  auto arguments = std::make_shared<BoundsArguments>();
  lab::BoundsRequest& request = arguments->request;
  add_value(*bounds, "--gamma1", request.gamma1, "decay of the norm's first moment, in [0, 1)")
      ->capture_default_str();
  add_value(*bounds, "--gamma2", request.gamma2, "decay of the norm's second moment, in [0, 1)")
      ->capture_default_str();
  add_value(*bounds, "--robust-kappa,--kappa", request.kappa,
            "also show robust moments with this kappa, above 1; 0: only the published rule; formerly --kappa")
      ->capture_default_str();
  add_value(*bounds, "--history", request.history,
            "steps of constant norm before the spikes of the last table")
      ->capture_default_str();
  bounds->add_flag("--json", arguments->json, "machine-readable");
  CLI::Option* html =
      add_path(*bounds, "--html", arguments->html, "also write a page with heat maps and recovery curves");
  bounds->add_flag("--force", arguments->force, "replace an existing page")->needs(html);
  bounds->footer("\nExample: gradstab bounds --gamma1 0.8 --gamma2 0.99 --robust-kappa 3 --html bounds.html");
  bounds->callback([&action, arguments] { action = [arguments] { return run_bounds(*arguments); }; });
}

}  // namespace gradstab::cli
