// Which tensors' norms rose first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lab/inspect/events.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Compares each tensor's norm with its own decayed average.
class TensorWatch {
 public:
  void add(const TraceRecord& record);
  /// The tensors that are above kSpikeRatio averages now, those that rose first in front, of those the one
  /// that rose furthest; kMostTensors at most. Where there are no norms of tensors, the one that the log
  /// names as the largest.
  std::vector<MovedTensor> moved(const TraceFacts& facts) const;

  static constexpr std::size_t kMostTensors = 5;

 private:
  struct State {
    double mean = 0.0;
    std::int64_t norms = 0;
    double ratio = 0.0;      // of the last norm to the mean before it
    std::int64_t rose = -1;  // the record since which it has been above; -1: it is not
    std::int64_t rose_step = 0;
  };
  std::vector<State> states_;
  std::string largest_;
  std::int64_t step_ = 0;
  std::int64_t records_ = 0;
};

}  // namespace gradstab::lab::inspect
