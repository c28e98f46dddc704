// A first look at a log: what must be known of all of it before its records are judged.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>

#include "lab/inspect/log_histogram.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// What a log holds, as numbers.
struct Overview {
  std::int64_t records = 0;
  std::int64_t finite = 0;  ///< norms that are finite and above 0
  std::int64_t nonfinite = 0;
  std::int64_t zeros = 0;
  std::int64_t negative = 0;
  std::int64_t losses = 0;
  std::int64_t nonfinite_at_end = 0;  ///< norms that are not finite, with none that is behind them
  std::int64_t first_step = 0, last_step = 0;
  double smallest = std::numeric_limits<double>::infinity();  ///< of the finite norms above 0
  double largest = 0.0;
  double median = std::numeric_limits<double>::quiet_NaN();  ///< right to 0.3 %
  std::int64_t stride = 1;    ///< the most frequent number of steps from one record to the next
  double stride_share = 1.0;  ///< of the records that are so far from the one before
  std::optional<double>
      plateau;  ///< a round number that many norms reach and none exceeds: they are clipped there
  double plateau_share = 0.0;  ///< of the norms at it

  bool constant() const noexcept { return finite > 1 && smallest == largest; }
};

/// Makes an overview of the records that it is given.
class OverviewSink : public TraceSink {
 public:
  bool record(const TraceRecord& record) override;
  Overview result() const;

 private:
  Overview overview_;
  LogHistogram norms_;
  std::map<std::int64_t, std::int64_t> gaps_;
  std::int64_t other_gaps_ = 0;
  std::int64_t at_largest_ = 0;
};

/// A number that somebody would set a limit to: one significant digit, or 1.5, 2.5 and 0.25 times a power of
/// ten. `value` may lie a little beside it, as rounding leaves clipped norms. Nothing: none is near.
std::optional<double> round_number_at(double value);

}  // namespace gradstab::lab::inspect
