// What each method would have made of the logged norms: its factor at each step, by the library's own code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/decide.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"
#include "lab/inspect/settings.hpp"

namespace gradstab::lab::inspect {

/// What a rule knows of the steps before, by which is told what it makes of a log of every N steps.
enum class Memory : std::uint8_t {
  none,        ///< its factor follows from the norm alone: exact
  short_term,  ///< it remembers fewer steps than may lie between two lines: a hint only
  long_term,   ///< it is replayed with the norm held at the running median in between
};

struct Rule {
  std::string key;    ///< in JSON and in tables: "clip_1"
  std::string title;  ///< "norm clip at 1"
  std::string text;   ///< what --transform takes
  Memory memory = Memory::none;
};

// The places of the rules.
inline constexpr std::size_t kPublished = 0, kRobust = 1, kClipAtOne = 2, kClipAtMedians = 3, kZClip = 4,
                             kAdaGc = 5;
inline constexpr std::size_t kRules = 6;

/// Medians at which the second of the norm clips cuts.
inline constexpr double kClipMedians = 3.0;

/// The rules with their states.
class Rules {
 public:
  /// `median` of the whole log is what the second norm clip is set by. Errors: a setting out of range.
  static Result<Rules> create(const InspectSettings& settings, double median);

  const std::vector<Rule>& list() const noexcept { return list_; }

  /// The factors for one more norm, in the order of the list. A norm that is not finite gets none (NaN) and
  /// is remembered by no rule, as under skip_tensor.
  std::span<const double> step(double norm);

  /// Steps between two lines, at a norm that is finite and above 0, of the rules with a long memory.
  /// `each(published, robust)` is called for each with the stabilized norms.
  void hold(double norm, std::int64_t steps, const std::function<void(double, double)>& each);

  /// Of the last step, of the published rule and of robust moments; NaN after a norm that is not finite.
  double published_norm() const noexcept { return stabilizers_[kPublished].norm; }
  double robust_norm() const noexcept { return stabilizers_[kRobust].norm; }
  /// Whether robust moments took the last norm for that of a new scale, and started afresh.
  bool adopted() const noexcept { return adopted_; }

 private:
  struct Stabilizer {
    StabilizerOptions options;
    NormMoments moments = {};
    double norm = 1.0;  // the last stabilized one
    Decision step(double raw);
  };

  std::vector<Rule> list_;
  std::vector<Stabilizer> stabilizers_;        // the first rules
  std::vector<GradientTransform> transforms_;  // the others
  std::vector<double> factors_;
  bool adopted_ = false;
};

}  // namespace gradstab::lab::inspect
