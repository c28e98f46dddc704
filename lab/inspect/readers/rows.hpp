// Logs of named values: CSV, JSON, event files, .wandb. Each format gives rows of names and numbers; which of
// them mean what is decided here, once for all.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/inspect/readers/joiner.hpp"
#include "lab/inspect/readers/names.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Takes rows, value by value.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;

  virtual void number(std::string_view name, double value) = 0;
  /// Of what is no number. A text that is one by itself, in quotes, is given by number.
  virtual void text(std::string_view name, std::string_view value) = 0;
  /// The row is complete. False: no more of them.
  virtual bool end_row() = 0;
};

/// The text that stands for null.
inline constexpr std::string_view kNull = "null";

/// What MMEngine's norms are.
inline constexpr std::string_view kAveragingOfMmengine =
    "the mean over the last 10 iterations, as MMEngine logs it: a spike of K shows as about 1 + (K - 1)/10";

/// Gives all rows of a log, from its front. May add notes.
using ReadRows = std::function<Status(TraceFacts&, RowSink&)>;

/// A trace of rows: looks through them for what they are called, then reads what was chosen. With
/// `null_is_nan` null stands for NaN, as in the runs of this program. Errors: those of `rows`, and those of
/// choose_columns.
Status read_rows(const ReadRows& rows, const ColumnChoice& choice, TraceFacts& facts, TraceSink& sink,
                 bool null_is_nan = false);

}  // namespace gradstab::lab::inspect
