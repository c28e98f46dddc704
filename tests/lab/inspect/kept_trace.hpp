// A trace as a list, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/readers/open.hpp"

namespace gradstab::lab::inspect {

/// Keeps what a reader gives.
class Kept : public TraceSink {
 public:
  bool record(const TraceRecord& record) override {
    steps.push_back(record.step);
    norms.push_back(record.norm);
    losses.push_back(record.loss);
    largest.emplace_back(record.largest_tensor);
    tensors.emplace_back(record.tensors.begin(), record.tensors.end());
    return true;
  }

  std::vector<std::int64_t> steps;
  std::vector<double> norms;
  std::vector<std::optional<double>> losses;
  std::vector<std::string> largest;
  std::vector<std::vector<TensorNorm>> tensors;
  TraceFacts facts;
  Status status;
};

inline void read_into(const Result<Trace>& trace, Kept& kept) {
  kept.status = trace.status();
  if (trace) kept.status = trace->read(kept.facts, kept);
}

inline void read_text(std::string_view bytes, Kept& kept, const ReadOptions& options = {}) {
  read_into(trace_of_bytes(bytes, "log", options), kept);
}

/// The message with which a text is refused.
inline std::string refusal(std::string_view bytes, const ReadOptions& options = {}) {
  Kept kept;
  read_text(bytes, kept, options);
  return kept.status.ok() ? "read, " + std::to_string(kept.norms.size()) + " records" : kept.status.message();
}

}  // namespace gradstab::lab::inspect
