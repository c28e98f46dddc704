#include "support/saved_moments.hpp"

#include "support/saved_state.hpp"

namespace gradstab::testing {

std::vector<NormMoments> saved_moments(const GradientTransform& transform) {
  const auto states = transform.state();
  if (states.at(0).fields.at(0).values.empty()) return {};  // of no unit, as of no rows
  std::vector<NormMoments> moments(saved_numbers(transform, "m").size());
  const auto put = [&](std::string_view name, auto NormMoments::*field) {
    const std::vector<double> numbers = saved_numbers(transform, name);
    for (std::size_t i = 0; i < moments.size(); ++i)
      moments[i].*field = static_cast<std::remove_reference_t<decltype(moments[i].*field)>>(numbers.at(i));
  };
  put("m", &NormMoments::first);
  put("v", &NormMoments::second);
  put("k", &NormMoments::step);
  put("nonfinite", &NormMoments::nonfinite);
  put("zeros", &NormMoments::zeros);
  put("exponent", &NormMoments::exponent);
  put("streak", &NormMoments::streak);
  put("streak_norm", &NormMoments::streak_norm);
  return moments;
}

}  // namespace gradstab::testing
