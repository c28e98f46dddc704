// gradstab bounds
#include "gradstab/bounds.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/terminal.hpp"

namespace gradstab::cli {
namespace {

constexpr std::array<std::int64_t, 9> kSteps = {1, 2, 5, 10, 20, 50, 100, 1000, 10000};
constexpr std::array<double, 4> kRatios = {2, 10, 100, 1000};

struct BoundsArguments {
  StabilizerOptions options;
  bool json = false;
};

StabilizerOptions in_form(StabilizerOptions options, bool bias_correction) {
  options.bias_correction = bias_correction;
  return options;
}

void print_json(const StabilizerOptions& paper, const StabilizerOptions& released) {
  const auto number = [](double value) {
    return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json result = {{"gamma1", paper.gamma1},
                                   {"gamma2", paper.gamma2},
                                   {"uniform_bound", number(uniform_bound(paper))},
                                   {"step_bound", nlohmann::ordered_json::array()},
                                   {"spike_bound", nlohmann::ordered_json::array()}};
  for (const std::int64_t step : kSteps) {
    result["step_bound"].push_back({{"step", step},
                                    {"paper", number(step_bound(paper, step))},
                                    {"released", number(step_bound(released, step))}});
  }
  for (const double ratio : kRatios) {
    result["spike_bound"].push_back({{"ratio", ratio}, {"paper", number(spike_bound(paper, ratio))}});
  }
  fmt::print("{}\n", result.dump(2));
}

void print_text(const StabilizerOptions& paper, const StabilizerOptions& released) {
  fmt::print("Largest stabilized norm, whatever the gradients are (gamma1 {:g}, gamma2 {:g})\n\n",
             paper.gamma1, paper.gamma2);
  fmt::print("  at any step, paper form (Lemma 3.6)    {:.6g}\n", uniform_bound(paper));
  if (std::isinf(uniform_bound(paper))) {
    fmt::print("  (no uniform bound: gamma1^2 = {:g} is not below gamma2)\n", paper.gamma1 * paper.gamma1);
  }
  fmt::print("\n  {:>8}  {:>12}  {:>12}\n", "step", "paper", "released");
  for (const std::int64_t step : kSteps) {
    fmt::print("  {:>8}  {:>12.6f}  {:>12.6f}\n", step, step_bound(paper, step), step_bound(released, step));
  }
  fmt::print("\n  on a spike of at least r times the running mean, paper form (Lemma 3.4)\n");
  for (const double ratio : kRatios)
    fmt::print("  {:>8}  {:>12.6f}\n", fmt::format("r={:g}", ratio), spike_bound(paper, ratio));
}

int run_bounds(const BoundsArguments& arguments) {
  if (Status status = arguments.options.validate(); !status.ok()) return exit_code_for(status);
  const StabilizerOptions paper = in_form(arguments.options, false);
  const StabilizerOptions released = in_form(arguments.options, true);
  arguments.json ? print_json(paper, released) : print_text(paper, released);
  return kExitOk;
}

}  // namespace

void add_bounds(CLI::App& app, Action& action) {
  CLI::App* bounds = app.add_subcommand("bounds", "closed-form bounds on the stabilized norm");
  auto arguments = std::make_shared<BoundsArguments>();
  bounds->add_option("--gamma1", arguments->options.gamma1, "decay of the norm's first moment")
      ->capture_default_str();
  bounds->add_option("--gamma2", arguments->options.gamma2, "decay of the norm's second moment")
      ->capture_default_str();
  bounds->add_flag("--json", arguments->json, "machine-readable");
  bounds->footer("\nExample: gradstab bounds --gamma1 0.8 --gamma2 0.99");
  bounds->callback([&action, arguments] { action = [arguments] { return run_bounds(*arguments); }; });
}

}  // namespace gradstab::cli
