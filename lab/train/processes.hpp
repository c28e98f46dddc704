// Processes that train together, by PyTorch's own collectives (c10d, Gloo).
#pragma once

#include <torch/torch.h>

#include <chrono>
#include <memory>
#include <string>

#include "gradstab/status.hpp"
#include "lab/support/json.hpp"
#include "lab/train/process_place.hpp"

namespace gradstab::lab {

/// All processes of a run, or one alone. Every process calls the same functions in the same order. Errors of
/// all functions: io_error where another process has ended or does not answer within the time.
class Processes {
 public:
  /// One alone, whose functions return at once.
  Processes();
  /// Waits for all of them. Errors: not all have come; the port is taken; the program was built without Gloo.
  static Result<Processes> join(const ProcessPlace& place, std::chrono::seconds timeout);
  ~Processes();
  Processes(Processes&&) noexcept;
  Processes& operator=(Processes&&) noexcept;

  std::int64_t rank() const noexcept { return place_.rank; }
  std::int64_t size() const noexcept { return place_.size; }
  bool is_first() const noexcept { return place_.is_first(); }
  bool alone() const noexcept { return place_.size == 1; }
  /// Whether another process was found to be gone, so that no more can be agreed on.
  bool lost() const noexcept { return lost_; }

  /// Replaces every number by its sum over all processes, the same bits in each. The tensor is contiguous and
  /// in host memory.
  Status sum(const at::Tensor& tensor);

  /// The text of every process, in the order of ranks.
  Result<std::vector<std::string>> texts(const std::string& text);

  /// Ok where it is in every process; else, in all of them, the error of the first that has one.
  Status agreed(const Status& status);

  /// Ok where the object is the same in every process. Else, in all of them, failed_precondition with the
  /// first process that has another than the first, and with the keys and values that differ.
  Status alike(const Json& object);

 private:
  struct Group;
  explicit Processes(ProcessPlace place);

  ProcessPlace place_;
  std::unique_ptr<Group> group_;
  bool lost_ = false;
};

}  // namespace gradstab::lab
