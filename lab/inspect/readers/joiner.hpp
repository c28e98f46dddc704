// Records out of readings: what is logged of one step in several places becomes one record.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// What a line, a row or a value of a log says.
struct Reading {
  std::optional<std::int64_t> step;
  std::optional<double> norm;
  std::optional<double> loss;
  std::span<const TensorNorm> tensors = {};
  std::string_view largest_tensor = {};
};

/// Readings in a row with the same step are one record; of what is there twice the first counts, as where
/// every rank prints its line. A loss that is logged between norms belongs to the next norm. Readings without
/// a norm give no record: evaluations. Where the log has no steps, records are counted from 1. Without a
/// global norm, those of the tensors make one.
class Joiner {
 public:
  Joiner(TraceFacts& facts, TraceSink& sink) : facts_(facts), sink_(sink) {}

  /// False: no more of them.
  bool add(const Reading& reading);
  /// Gives the last record.
  void finish() { flush(); }
  /// Records given so far.
  std::int64_t records() const noexcept { return records_; }

 private:
  void flush();

  TraceFacts& facts_;
  TraceSink& sink_;
  std::optional<std::int64_t> step_;  // of what is being joined
  std::optional<double> norm_;
  std::optional<double> loss_;
  std::optional<double> loss_since_norm_;
  std::vector<TensorNorm> tensors_;
  std::string largest_tensor_;
  bool pending_ = false;
  bool more_ = true;
  std::int64_t records_ = 0;
  std::int64_t last_step_ = 0;
};

}  // namespace gradstab::lab::inspect
