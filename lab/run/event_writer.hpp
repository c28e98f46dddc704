// A TensorBoard event file that grows with a run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

/// A number as TensorBoard names it.
struct Scalar {
  std::string tag;  ///< "train/loss"
  double value = 0.0;
};

/// Every number in a line of metrics.jsonl: "train/" or, of an evaluation or a test, "eval/" or "test/", and
/// the key; "train/raw_norm/max" for one within another. null is NaN, true and false are 1 and 0. Also
/// "train/factor", stabilized_norm / grad_norm.
std::vector<Scalar> scalars_of(const Json& line);

/// Whether a file of this name is one that an EventWriter writes.
bool is_own_event_file(std::string_view file_name);

/// Appends events, each with one write, so that a killed process leaves at most one that is cut off.
class EventWriter {
 public:
  /// Begins a file of its own in `folder`, whose name comes behind those of the others there. With `restart`
  /// it says first that whatever others have of that step, or of a later one, is void. Errors: it cannot be
  /// written.
  static Result<EventWriter> create(const std::filesystem::path& folder, std::optional<std::int64_t> restart);

  /// The scalars of a step, rounded to f32, which is what TensorBoard has.
  Status write(std::int64_t step, const std::vector<Scalar>& scalars);

  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  EventWriter(std::filesystem::path path, Descriptor file) : path_(std::move(path)), file_(std::move(file)) {}

  std::filesystem::path path_;
  Descriptor file_;
};

}  // namespace gradstab::lab
