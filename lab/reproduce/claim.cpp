#include "lab/reproduce/claim.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lab/reproduce/arms.hpp"
#include "lab/reproduce/claims.hpp"

namespace gradstab::lab {

std::span<const Margin> all_margins() {
  static constexpr std::array kMargins = {Margin{kNats, 0.02, false, "0.02 nats"},
                                          Margin{kPoints, 0.5, false, "0.5 percentage points"},
                                          Margin{kMse, 0.01, true, "1 % of the MSE without any method"},
                                          Margin{kReturn, 100.0, false, "a return of 100"}};
  return kMargins;
}

double margin_of(std::string_view unit, double reference) {
  const auto margins = all_margins();
  const auto found = std::ranges::find(margins, unit, &Margin::unit);
  if (found == margins.end()) return kNoValue;
  return found->relative ? found->value * std::abs(reference) : found->value;
}

Effect compared(Measure measure, const std::string& arm, const std::string& rival, const std::string& label,
                const Settings& where) {
  return {label, {{1.0, measure, arm, where}, {-1.0, measure, rival, where}}};
}

std::vector<Effect> against(Measure measure, const std::string& arm, const std::vector<std::string>& rivals,
                            const std::vector<std::string>& controls, const Settings& where) {
  std::vector<Effect> effects;
  effects.reserve(rivals.size() + controls.size());
  for (const std::string& rival : rivals)
    effects.push_back(compared(measure, arm, rival, "against " + arm_named(rival).label, where));
  for (const std::string& control : controls) {
    effects.push_back(compared(measure, arm, control, "against " + arm_named(control).label, where));
    effects.back().control = true;
  }
  return effects;
}

}  // namespace gradstab::lab
