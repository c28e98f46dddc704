// What every reader of logs gives: a stream of records, and what was learnt of the run on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::inspect {

/// The gradient norm of one tensor, by its place in TraceFacts::tensors.
struct TensorNorm {
  std::uint32_t tensor = 0;
  double norm = 0.0;
};

/// A step of which the log has a gradient norm.
struct TraceRecord {
  std::int64_t step = 0;
  double norm = 0.0;           ///< as logged: it may be NaN or infinite, and in wrong logs negative
  std::optional<double> loss;  ///< nothing where the log has none; it may be NaN
  std::span<const TensorNorm> tensors = {};
  std::string_view largest_tensor = {};  ///< the tensor with the largest norm, where the log names it
};

/// What is known of a run beside its records. A reader fills in what it knows before the records, and adds to
/// it while it reads; after reading it is complete.
struct TraceFacts {
  std::string format;             ///< "TensorBoard event files"
  std::string step_name;          ///< what the log calls its steps; empty: it counts none, lines are counted
  std::string norm_name;          ///< "train/grad_norm"
  std::string loss_name;          ///< empty: it has none
  bool squared = false;           ///< what is logged is the squared norm; records hold the norm
  std::string averaging;          ///< where a norm is not that of one step, what it is, with the source
  std::string clipping;           ///< what is known of the place of clipping, with the source; may be empty
  std::optional<double> clip_at;  ///< the limit of the norm that the run was trained with; 0: none
  std::string optimizer;
  std::optional<double> beta2;       ///< decay of Adam's second moment
  std::string transform;             ///< what this program did to the gradients
  std::vector<std::string> tensors;  ///< names, where there are norms of single tensors
  std::vector<std::string> notes;    ///< what was tolerated, a sentence each

  std::int64_t repeated = 0;      ///< records of a step that was there already; the first counts
  std::int64_t fell_back = 0;     ///< times that the step fell: the run went on from an earlier one
  std::int64_t without_norm = 0;  ///< records that had a loss and no norm
};

/// Takes records in the order of the log.
class TraceSink {
 public:
  TraceSink() = default;
  TraceSink(const TraceSink&) = delete;
  TraceSink& operator=(const TraceSink&) = delete;
  virtual ~TraceSink() = default;
  /// False: no more of them.
  virtual bool record(const TraceRecord& record) = 0;
};

/// One run's log, ready to be read, more than once if need be.
struct Trace {
  std::string name;  ///< the path as given, or that of the run found in it
  /// Reads all of it from the front. Errors: the log is not what it seemed to be; a message without the name.
  std::function<Status(TraceFacts&, TraceSink&)> read;
};

}  // namespace gradstab::lab::inspect
