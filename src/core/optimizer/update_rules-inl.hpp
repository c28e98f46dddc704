// The update rules of gradstab/backend.hpp, written once for scalars and for vectors. A new one: its line
// in the list there, its formula here, and who steps by it in core/optimizer/step_scalars.hpp.
//
// `Ops` names the arithmetic: a type `V`, and set, add, sub, mul, div, sqrt, max, sign(x) (-1, 0 or 1) and
// select_greater(a, b, yes, no). Everything has internal linkage and uses nothing of the standard library,
// because units compiled for newer processors include this (see backends/cpu/kernels.hpp).
#pragma once

#include <cstddef>

#include "core/base/random_bits-inl.hpp"
#include "gradstab/backend.hpp"

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
  GRADSTAB_RULE_CALLABLE explicit RuleScalars(const UpdateScalars& s) {
#define GRADSTAB_SET(name, ...) name = Ops::set(s.name);
    GRADSTAB_UPDATE_SCALARS(GRADSTAB_SET)
#undef GRADSTAB_SET
  }

#define GRADSTAB_MEMBER(name, ...) typename Ops::V name;
  GRADSTAB_UPDATE_SCALARS(GRADSTAB_MEMBER)
#undef GRADSTAB_MEMBER
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

/// The formula of a rule: update(scalars, parameter, gradient, states) returns the parameter and writes the
/// states. What is in the list of rules and not here does not compile anywhere.
template <UpdateRule kRule>
struct Rule;

template <>
struct Rule<UpdateRule::plain> {
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V*) {
    g = rule_gradient(s, p, g);
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, g));
  }
};

template <bool kNesterov>
struct MomentumRule {
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V* state) {
    g = rule_gradient(s, p, g);
    state[0] = rule_average<Ops>(s.beta1, state[0], s.weight1, g);
    const V direction = kNesterov ? Ops::add(g, Ops::mul(s.beta1, state[0])) : state[0];
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, direction));
  }
};

template <>
struct Rule<UpdateRule::momentum> : MomentumRule<false> {};
template <>
struct Rule<UpdateRule::nesterov> : MomentumRule<true> {};

template <bool kAmsgrad, bool kSpam>
struct AdamRule {
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

template <>
struct Rule<UpdateRule::adam> : AdamRule<false, false> {};
template <>
struct Rule<UpdateRule::amsgrad> : AdamRule<true, false> {};
template <>
struct Rule<UpdateRule::spam> : AdamRule<false, true> {};

template <>
struct Rule<UpdateRule::lion> {
  template <class Ops, class V>
  GRADSTAB_RULE_INLINE V update(const RuleScalars<Ops>& s, V p, V g, V* state) {
    g = rule_gradient(s, p, g);
    const V direction = rule_average<Ops>(s.beta1, state[0], s.weight1, g);
    state[0] = rule_average<Ops>(s.beta2, state[0], s.weight2, g);
    return Ops::sub(Ops::mul(s.keep, p), Ops::mul(s.step_size, Ops::sign(direction)));
  }
};

/// A rule as the type of a value, for visit_rule.
template <UpdateRule kRule>
struct RuleTag {
  static constexpr UpdateRule kValue = kRule;
};

/// body(RuleTag<rule>()): from a rule that is known when the program runs to one that is known when it is
/// compiled.
template <class Body>
void visit_rule(UpdateRule rule, Body body) {
  switch (rule) {
#define GRADSTAB_CASE(name, ...) \
  case UpdateRule::name:         \
    return body(RuleTag<UpdateRule::name>());
    GRADSTAB_UPDATE_RULES(GRADSTAB_CASE)
#undef GRADSTAB_CASE
  }
  __builtin_trap();  // no rule at all
}

}  // namespace
}  // namespace gradstab
