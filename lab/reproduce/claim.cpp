#include "lab/reproduce/claim.hpp"

#include "lab/reproduce/arms.hpp"

namespace gradstab::lab {

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
