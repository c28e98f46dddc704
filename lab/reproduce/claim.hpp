// What an item is asked: statements about effects that hold or do not.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/reproduce/measures.hpp"

namespace gradstab::lab {

/// `weight` times a measure of an arm's runs in the contexts that have these coordinates.
struct Term {
  double weight = 1.0;
  Measure measure = mean_score;
  std::string arm;
  Settings where;  ///< empty: all contexts that the arm has
};

/// An effect: `offset` and the sum of the terms, of each seed. It supports the claim if it is below zero.
struct Effect {
  std::string label;
  std::vector<Term> terms;
  double offset = 0.0;
  bool control = false;  ///< shown, but not part of the verdict
};

/// A difference within it, on both sides of zero, does not matter. Stated with the claims, before there are
/// runs to judge: 0.02 nats is what several of them call no loss.
struct Margin {
  std::string_view unit;  ///< of effects
  double value = 0.0;
  bool relative = false;  ///< a share of the mean score without any method, whose scale depends on the data
  std::string_view text;  ///< "0.02 nats"
};
std::span<const Margin> all_margins();
/// `reference` is that mean score. NaN for a unit that has no margin.
double margin_of(std::string_view unit, double reference);

/// The source of a claim that is not the paper's.
inline constexpr const char* kOurs = "ours, not the paper's";

/// A statement of the paper, or of ours, and what it is judged by. It holds if all of its effects do.
struct Claim {
  std::string text;    ///< "Lower loss than without it and with every clipping rival"
  std::string source;  ///< who makes it, and where: "the paper's table 1"
  std::string unit;    ///< of the effects: "nats per token"
  std::vector<Effect> effects;
};

/// `arm` less `rival` by a measure.
Effect compared(Measure measure, const std::string& arm, const std::string& rival, const std::string& label,
                const Settings& where = {});

/// `arm` less each of `rivals`; those among `controls` do not decide.
std::vector<Effect> against(Measure measure, const std::string& arm, const std::vector<std::string>& rivals,
                            const std::vector<std::string>& controls, const Settings& where = {});

}  // namespace gradstab::lab
