// StagedUpload: a table in host memory that is copied to the device without waiting for it.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "backends/cuda/device.hpp"

namespace gradstab::device {

/// A copy reads its staging memory when the stream comes to it, maybe long after the call. The memory is
/// therefore a ring of stages, all allocated at the first upload; a host that is as many uploads ahead of the
/// device as the ring has stages waits for the oldest.
class StagedUpload {
 public:
  static constexpr std::size_t kFewestStages = 8;
  static constexpr std::size_t kMostStages = 64;

  StagedUpload() = default;
  StagedUpload(StagedUpload&& other) noexcept { *this = std::move(other); }
  StagedUpload& operator=(StagedUpload&& other) noexcept;
  ~StagedUpload() { release_events(); }

  /// `to` is device memory of that many bytes, which outlives this object.
  void bind(std::shared_ptr<Device> device, void* to, std::size_t bytes);

  /// Copies what `from` holds now. Where the stream is being captured, the copy becomes part of the graph: it
  /// has memory of its own, kept as long as this object, and every replay repeats it.
  Status upload(const void* from, Stream stream);

  /// Whether an upload was captured, so that replays may repeat it at any time.
  bool is_in_a_graph() const noexcept { return !captured_.empty(); }

 private:
  Status allocate_ring();
  Status upload_captured(const void* from, Stream stream);
  void release_events() noexcept;

  std::shared_ptr<Device> device_;
  void* to_ = nullptr;
  std::size_t bytes_ = 0;
  Memory ring_;
  std::vector<Event> events_;  // one per stage: its last copy is done
  std::size_t next_ = 0;       // the stage that was used longest ago
  bool full_ = false;          // every stage has been used
  std::vector<Memory> captured_;
};

}  // namespace gradstab::device
