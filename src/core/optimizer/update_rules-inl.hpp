// The update rules of gradstab/backend.hpp, written once for scalars and for vectors.
//
// `Ops` names the arithmetic: a type `V`, and set, add, sub, mul, div, sqrt, max, sign(x) (-1, 0 or 1) and
// select_greater(a, b, yes, no). Everything has internal linkage and uses nothing of the standard library,
// because units compiled for newer processors include this (see backends/cpu/kernels.hpp).
#pragma once

#include <cstddef>

#include "core/base/random_bits-inl.hpp"

#if defined(__CUDACC__)
#define GRADSTAB_RULE_CALLABLE __host__ __device__
#else
#define GRADSTAB_RULE_CALLABLE
#endif

namespace gradstab {
namespace {

/// UpdateScalars as the arithmetic's own type, once per block.
template <class Ops>
struct RuleScalars {
  using V = typename Ops::V;

  template <class Scalars>
  GRADSTAB_RULE_CALLABLE explicit RuleScalars(const Scalars& s)
      : gradient_factor(Ops::set(s.gradient_factor)),
        l2(Ops::set(s.l2)),
        keep(Ops::set(s.keep)),
        keep_after(Ops::set(s.keep_after)),
        step_size(Ops::set(s.step_size)),
        beta1(Ops::set(s.beta1)),
        weight1(Ops::set(s.weight1)),
        beta2(Ops::set(s.beta2)),
        weight2(Ops::set(s.weight2)),
        root_factor(Ops::set(s.root_factor)),
        epsilon(Ops::set(s.epsilon)),
        threshold(Ops::set(s.threshold)) {}

  V gradient_factor, l2, keep, keep_after, step_size, beta1, weight1, beta2, weight2, root_factor, epsilon,
      threshold;
};

#define GRADSTAB_RULE_INLINE GRADSTAB_RULE_CALLABLE static __attribute__((always_inline)) inline

template <class Ops>
GRADSTAB_RULE_INLINE typename Ops::V rule_gradient(const RuleScalars<Ops>& s, typename Ops::V p,
                                                   typename Ops::V g) {
  return Ops::add(Ops::mul(g, s.gradient_factor), Ops::mul(p, s.l2));
}

/// decay * old + weight * value
template <class Ops>
GRADSTAB_RULE_INLINE typename Ops::V rule_average(typename Ops::V decay, typename Ops::V old,
                                                  typename Ops::V weight, typename Ops::V value) {
  return Ops::add(Ops::mul(decay, old), Ops::mul(weight, value));
}

struct PlainRule {
  static constexpr std::size_t kStates = 0;
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V*) {
    g = rule_gradient(s, p, g);
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, g));
  }
};

template <bool kNesterov>
struct MomentumRule {
  static constexpr std::size_t kStates = 1;
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V* state) {
    g = rule_gradient(s, p, g);
    state[0] = rule_average<Ops>(s.beta1, state[0], s.weight1, g);
    const V direction = kNesterov ? Ops::add(g, Ops::mul(s.beta1, state[0])) : state[0];
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, direction));
  }
};

template <bool kAmsgrad, bool kSpam>
struct AdamRule {
  static constexpr std::size_t kStates = kAmsgrad ? 3 : 2;
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V* state) {
    g = rule_gradient(s, p, g);
    if constexpr (kSpam) {
      const V limit = Ops::mul(s.threshold, state[1]);
      g = Ops::select_greater(Ops::mul(g, g), limit, Ops::mul(Ops::sign(g), Ops::sqrt(limit)), g);
    }
    state[0] = rule_average<Ops>(s.beta1, state[0], s.weight1, g);
    state[1] = rule_average<Ops>(s.beta2, state[1], s.weight2, Ops::mul(g, g));
    V second = state[1];
    if constexpr (kAmsgrad) {
      state[2] = Ops::max(state[2], second);
      second = state[2];
    }
    const V root = Ops::add(Ops::mul(Ops::sqrt(second), s.root_factor), s.epsilon);
    V result = Ops::sub(Ops::mul(s.keep, p), Ops::div(Ops::mul(s.step_size, state[0]), root));
    if constexpr (kSpam) result = Ops::mul(result, s.keep_after);
    return result;
  }
};

struct LionRule {
  static constexpr std::size_t kStates = 1;
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V* state) {
    g = rule_gradient(s, p, g);
    const V direction = rule_average<Ops>(s.beta1, state[0], s.weight1, g);
    state[0] = rule_average<Ops>(s.beta2, state[0], s.weight2, g);
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, Ops::sign(direction)));
  }
};

}  // namespace
}  // namespace gradstab
