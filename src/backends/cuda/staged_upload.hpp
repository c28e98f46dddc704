// StagedUpload: a table in host memory that is copied to the device without waiting for it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "backends/cuda/device.hpp"

namespace gradstab::device {

/// A copy reads its staging memory when the stream comes to it, maybe long after the call. Each upload
/// therefore takes staging memory whose last copy is done, or more of it. Only a host that is kMostStages
/// uploads ahead of the device waits.
class StagedUpload {
 public:
  static constexpr std::size_t kMostStages = 64;

  StagedUpload() = default;
  StagedUpload(StagedUpload&&) noexcept = default;
  StagedUpload& operator=(StagedUpload&& other) noexcept {
    release_events();
    device_ = std::move(other.device_);
    to_ = std::exchange(other.to_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    stages_ = std::exchange(other.stages_, {});
    captured_ = std::exchange(other.captured_, {});
    next_ = std::exchange(other.next_, 0);
    return *this;
  }
  ~StagedUpload() { release_events(); }

  /// `to` is device memory of that many bytes, which outlives this object.
  void bind(std::shared_ptr<Device> device, void* to, std::size_t bytes);

  /// Copies what `from` holds now. Where the stream is being captured, the copy becomes part of the graph: it
  /// has memory of its own, kept as long as this object, and every replay repeats it.
  Status upload(const void* from, Stream stream);

  /// Whether an upload was captured, so that replays may repeat it at any time.
  bool is_in_a_graph() const noexcept { return !captured_.empty(); }

 private:
  struct Stage {
    Memory memory;
    Event event = nullptr;
  };
  Result<Stage*> free_stage();
  Status upload_captured(const void* from, Stream stream);
  void release_events() noexcept;

  std::shared_ptr<Device> device_;
  void* to_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<Stage> stages_;  // a ring: `next_` was used longest ago
  std::vector<Memory> captured_;
  std::size_t next_ = 0;
};

}  // namespace gradstab::device
