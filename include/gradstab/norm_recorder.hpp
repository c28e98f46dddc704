// NormRecorder: gradient norms of a run in a file, for `gradstab inspect`. Nothing of the run changes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/backend.hpp"
#include "gradstab/export.hpp"
#include "gradstab/recording.hpp"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

struct NormRecorderOptions {
  /// What is known of the run. The recorder adds "library" and, where it is not 1, "every".
  std::vector<RecordedFact> facts = {};
  std::int64_t every = 1;    ///< only steps that are a multiple of this are recorded; at least 1
  std::string backend = {};  ///< of the measurement: see find_backend
  std::shared_ptr<Executor> executor = {};  ///< its threads; none: the calling one alone
};

/// Appends one block to the file in each step: the norm of every tensor, the global norm, the loss where it
/// is given. Gradients are read once and never written.
///
/// The file is that of docs/recording-format.md. One that is there is continued behind its last whole block,
/// also with other tensors; whatever else it is, it is refused and left as it was. Every block is handed to
/// the operating system at once and whole: a killed process loses nothing but the block that it was writing.
/// Only `close` waits for the disk.
///
/// One thread at a time. A process that was forked off does not record: it would write into the same file.
class GRADSTAB_API NormRecorder {
 public:
  /// Opens or makes the file. Errors: io_error where the operating system refuses, where the path is no
  /// regular file, or where another recorder has it; corrupt_data and version_mismatch for a file that is no
  /// recording of this version; an `every` below 1, an unknown backend.
  static Result<NormRecorder> open(std::string path, ParameterSet parameters,
                                   NormRecorderOptions options = {});

  NormRecorder(NormRecorder&&) noexcept;
  NormRecorder& operator=(NormRecorder&&) noexcept;
  /// Closes without a word of what went wrong; see `close`.
  ~NormRecorder();

  /// Measures gradients in host memory, in the registered order, and records their norms. One without data is
  /// recorded as absent. NaN and infinity are recorded as they are.
  ///
  /// `step` is the number of the step; without it, one more than the last one's, from 1 in a new file. `loss`
  /// may be left out. Errors, after which nothing is recorded of this step and the next may be tried:
  /// those of GradientTransform::update for wrong tensors, a step below 0; io_error where the file cannot be
  /// written (the file then still ends with a whole block); failed_precondition after `close` and in a forked
  /// process.
  Status record(std::span<const TensorRef> gradients, std::optional<std::int64_t> step = {},
                std::optional<double> loss = {});

  /// Records the norms that a transform or an optimizer of the same parameters has measured, before it
  /// changed the gradients. Nothing is read again; also for gradients on a device
  /// (cuda::Transform::report).
  Status record(const StepReport& report, std::optional<std::int64_t> step = {},
                std::optional<double> loss = {});

  /// Records norms that were measured elsewhere: one per parameter, kNoGradient where there is none.
  Status record_norms(std::span<const double> norms, std::optional<std::int64_t> step = {},
                      std::optional<double> loss = {});

  /// Whether a step of that number is one of those that are recorded.
  bool records_step(std::int64_t step) const noexcept;
  /// The number that a step without one has next.
  std::int64_t next_step() const noexcept;

  /// From the next step on, other parameters: layers were unfrozen. Errors leave what was.
  Status set_parameters(ParameterSet parameters);
  /// From the next step on, other facts.
  void set_facts(std::vector<RecordedFact> facts);
  /// What the header says of each gradient's dtype, in the registered order, where it is not measured here.
  void set_dtypes(std::vector<std::string> dtypes);

  const ParameterSet& parameters() const noexcept;
  const std::string& path() const noexcept;

  /// Waits until the disk has everything, and closes the file. A second call does nothing. Errors: io_error.
  Status close();

 private:
  struct Impl;
  explicit NormRecorder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gradstab
