// Norms of single tensors: which rose first, and how long the rules hold each of them down.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gradstab/decide.hpp"
#include "lab/inspect/events.hpp"
#include "lab/inspect/settings.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// How much of the tensors' norms the rules hold below half of their usual length, each tensor with moments
/// of its own, as the method is published. By the logged records alone.
struct TensorHolding {
  std::int64_t norms = 0;  ///< of all tensors that are finite and above 0
  std::int64_t held_published = 0, held_robust = 0;
  std::string most_held;  ///< the tensor that the published rule holds down most; empty: none
  double most_held_share = 0.0;
};

/// Compares each tensor's norm with its own decayed average, and applies the rules to it.
class TensorWatch {
 public:
  explicit TensorWatch(const InspectSettings& settings)
      : published_(settings.published()), robust_(settings.robust()) {}

  void add(const TraceRecord& record);
  /// The tensors that are above kSpikeRatio averages now, those that rose first in front, of those the one
  /// that rose furthest; kMostTensors at most. Where there are no norms of tensors, the one that the log
  /// names as the largest.
  std::vector<MovedTensor> moved(const TraceFacts& facts) const;

  TensorHolding holding(const TraceFacts& facts) const;

  static constexpr std::size_t kMostTensors = 5;

 private:
  struct State {
    double mean = 0.0;
    std::int64_t norms = 0;
    double ratio = 0.0;      // of the last norm to the mean before it
    std::int64_t rose = -1;  // the record since which it has been above; -1: it is not
    std::int64_t rose_step = 0;
    NormMoments published, robust;
    std::int64_t held_published = 0, held_robust = 0;
  };
  StabilizerOptions published_, robust_;
  std::vector<State> states_;
  std::string largest_;
  std::int64_t step_ = 0;
  std::int64_t records_ = 0;
};

}  // namespace gradstab::lab::inspect
