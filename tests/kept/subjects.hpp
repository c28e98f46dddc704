// What the kept states are states of. A subject never changes: what older versions wrote of it is in
// states.jsonl.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gradstab/optimizer.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// A transform alone, or an optimizer, perhaps behind a transform.
struct KeptSubject {
  std::string name;
  std::function<GradientTransform()> transform = {};
  std::optional<OptimizerOptions> optimizer = {};
};

/// Every method in each form that is saved in another way, and every optimizer.
std::vector<KeptSubject> kept_subjects();

/// A subject over a small model, of which only the arithmetic of doubles is asked, so that every machine
/// comes to the same numbers.
class KeptRun {
 public:
  explicit KeptRun(const KeptSubject& subject);

  /// Steps first to last, whose gradients depend on nothing but the number of the step.
  void steps(int first, int last);
  std::vector<std::byte> save() const;
  Status load(const std::vector<std::byte>& bytes);
  void set_weights(const std::vector<Values>& values);

  /// What the last step has left: gradients, and of an optimizer the weights behind them.
  std::vector<Values> left() const;
  std::vector<Values> weights() const { return weights_.values(); }

 private:
  ParameterSet parameters_;
  Gradients gradients_;
  Gradients weights_;
  std::optional<GradientTransform> transform_;
  std::optional<Optimizer> optimizer_;
};

}  // namespace gradstab::testing
