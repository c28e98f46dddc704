#include "rule_numbers.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace gradstab::testing {

std::vector<HandCase> hand_cases() {
  UpdateScalars s;
  s.gradient_factor = 0.5;
  s.l2 = 0.25;
  s.keep = 0.75;
  s.step_size = 0.125;
  s.beta1 = 0.5;
  s.weight1 = 0.25;
  s.beta2 = 0.75;
  s.weight2 = 0.5;
  s.root_factor = 2.0;
  s.epsilon = 1.0;
  s.keep_after = 0.5;
  s.threshold = 4.0;
  // g = 0.5 * 6 + 0.25 * 4 = 4 throughout; keep p = 3.
  std::vector<HandCase> cases;
  cases.push_back({"plain", UpdateRule::plain, s, 4, 6, {}, 3 - 0.125 * 4, {}});
  cases.push_back({"momentum", UpdateRule::momentum, s, 4, 6, {2}, 3 - 0.125 * 2, {2}});  // 0.5*2 + 0.25*4
  cases.push_back({"nesterov", UpdateRule::nesterov, s, 4, 6, {2}, 3 - 0.125 * 5, {2}});  // 4 + 0.5*2
  // v = 0.75*1.333 would not be exact: 0.75*0 + 0.5*16 = 8 has no exact root; 0.75*32/3 neither; take v = 32.
  s.weight2 = 0.0625;                                                                       // 0.75 * v + 1
  cases.push_back({"adam", UpdateRule::adam, s, 4, 6, {2, 4}, 3 - 0.125 * 2 / 5, {2, 4}});  // root 2*2+1
  cases.push_back({"amsgrad", UpdateRule::amsgrad, s, 4, 6, {2, 4, 9}, 3 - 0.125 * 2 / 7, {2, 4, 9}});
  cases.push_back(
      {"amsgrad_new_maximum", UpdateRule::amsgrad, s, 4, 6, {2, 4, 1}, 3 - 0.125 * 2 / 5, {2, 4, 4}});
  // Limit 4*4 = 16 = g^2 is not exceeded; with v = 1 it is 4: g becomes 2, m = 1.5, v = 0.75 + 0.25 = 1.
  cases.push_back({"spam_at_the_limit", UpdateRule::spam, s, 4, 6, {2, 4}, (3 - 0.125 * 2 / 5) / 2, {2, 4}});
  cases.push_back({"spam_clipped", UpdateRule::spam, s, 4, 6, {2, 1}, (3 - 0.125 * 1.5 / 3) / 2, {1.5, 1}});
  // -0.5*18 + 1 = -8: clipped to -2, m = 1 - 0.5.
  cases.push_back(
      {"spam_clipped_below", UpdateRule::spam, s, 4, -18, {2, 1}, (3 - 0.125 * 0.5 / 3) / 2, {0.5, 1}});
  s.threshold =
      std::numeric_limits<double>::infinity();  // never clips, not even where the second moment is 0
  cases.push_back({"spam_quiet", UpdateRule::spam, s, 4, 6, {2, 0}, (3 - 0.125 * 2 / 3) / 2, {2, 1}});
  s.weight2 = 0.5;
  cases.push_back({"lion_up", UpdateRule::lion, s, 4, 6, {2}, 3 - 0.125, {3.5}});    // sign(1 + 1)
  cases.push_back({"lion_down", UpdateRule::lion, s, 4, 6, {-4}, 3 + 0.125, {-1}});  // sign(-2 + 1)
  cases.push_back({"lion_undecided", UpdateRule::lion, s, 4, 6, {-2}, 3, {0.5}});    // sign(-1 + 1)
  return cases;
}

RuleFacts facts_of(UpdateRule rule) {
  using S = UpdateScalars;
  RuleFacts facts{{&S::gradient_factor, &S::l2, &S::keep, &S::step_size}, {}, false};
  const auto reads = [&](std::initializer_list<double S::*> more) {
    facts.scalars.insert(facts.scalars.end(), more);
  };
  switch (rule) {
    case UpdateRule::plain:
      break;
    case UpdateRule::momentum:
    case UpdateRule::nesterov:
      reads({&S::beta1, &S::weight1});
      break;
    case UpdateRule::spam:
      reads({&S::keep_after, &S::threshold});
      [[fallthrough]];
    case UpdateRule::adam:
    case UpdateRule::amsgrad:
      reads({&S::beta1, &S::weight1, &S::beta2, &S::weight2, &S::root_factor, &S::epsilon});
      break;
    case UpdateRule::lion:
      // Only the momentum sees the gradient's scale.
      reads({&S::beta1, &S::weight1, &S::beta2, &S::weight2});
      facts.only_flips = {&S::beta1, &S::weight1};
      facts.steps_by_a_sign = true;
      break;
  }
  return facts;
}

Bounds bounds_of(UpdateRule rule, const UpdateScalars& s, double p, double g, const double* old) {
  Bounds bounds;
  // g*factor: 2 roundings, p*l2: 2, sum: 1. SPAM's limit adds the root of a product: another 3 of at most
  // |g|.
  const double gradient = std::fabs(g * s.gradient_factor) + std::fabs(p * s.l2);
  const double gradient_error = (rule == UpdateRule::spam ? 6.0 : 3.0) * kU * gradient;
  const double kept = std::fabs(s.keep * p);
  const auto moved = [&](double step, double step_error) {
    // keep*p: 2, the difference: 1, keep_after: 2, stored: 1.
    bounds.parameter = 2.0 * kU * kept + step_error + 4.0 * kU * (kept + step + step_error);
  };
  // beta*old: 2, weight*g: 2 and the gradient's own, sum: 1, stored: 1.
  const auto average = [&](double decay, double before, double weight) {
    const double magnitude = std::fabs(decay * before) + weight * gradient;
    return std::pair(magnitude, weight * gradient_error + 4.0 * kU * magnitude);
  };
  switch (rule) {
    case UpdateRule::plain:
      moved(s.step_size * gradient, s.step_size * (gradient_error + 2.0 * kU * gradient));
      break;
    case UpdateRule::momentum:
    case UpdateRule::nesterov: {
      const auto [buffer, error] = average(s.beta1, old[0], s.weight1);
      bounds.states[0] = error;
      double direction = buffer;
      double direction_error = error;
      if (rule == UpdateRule::nesterov) {
        direction = gradient + s.beta1 * buffer;
        direction_error = gradient_error + s.beta1 * error + 3.0 * kU * direction;
      }
      moved(s.step_size * direction, s.step_size * (direction_error + 2.0 * kU * direction));
      break;
    }
    case UpdateRule::adam:
    case UpdateRule::amsgrad:
    case UpdateRule::spam: {
      const auto [first, first_error] = average(s.beta1, old[0], s.weight1);
      // The square: twice the gradient's error and 1; weight: 2; decayed: 2; sum: 1; stored: 1.
      const double second = s.beta2 * old[1] + s.weight2 * gradient * gradient;
      const double second_error =
          s.weight2 * (2.0 * gradient * gradient_error + kU * gradient * gradient) + 4.0 * kU * second;
      bounds.states[0] = first_error;
      bounds.states[1] = second_error;
      bounds.states[2] = second_error;  // a maximum errs by no more than what it chooses from
      // At least beta2 times the old one, so the relative error of the root is at most half of this.
      const double relative = second_error / (s.beta2 * old[1]);
      // Root: 1, factor: 2, epsilon: 1, sum: 1.
      const double root_relative = 0.5 * relative + 5.0 * kU;
      const double smallest_root = std::sqrt(s.beta2 * old[1]) * s.root_factor;
      const double step = s.step_size * first / smallest_root;
      const double step_error = s.step_size * first_error / smallest_root + step * (root_relative + 3.0 * kU);
      moved(step, 1.01 * step_error);
      break;
    }
    case UpdateRule::lion: {
      const auto [momentum, error] = average(s.beta2, old[0], s.weight2);
      bounds.states[0] = error;
      const auto [direction, direction_error] = average(s.beta1, old[0], s.weight1);
      static_cast<void>(direction);
      const double exact = s.beta1 * old[0] + s.weight1 * (g * s.gradient_factor + p * s.l2);
      const bool doubtful = std::fabs(exact) <= direction_error;  // either sign, or none
      moved(s.step_size, doubtful ? 2.0 * s.step_size : kU * s.step_size);
      break;
    }
  }
  return bounds;
}

}  // namespace gradstab::testing
