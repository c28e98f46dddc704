#include "backends/cuda/staged_upload.hpp"

#include <cstring>

namespace gradstab::device {

void StagedUpload::bind(std::shared_ptr<Device> device, void* to, std::size_t bytes) {
  *this = StagedUpload();
  device_ = std::move(device);
  to_ = to;
  bytes_ = bytes;
}

Status StagedUpload::upload(const void* from, Stream stream) {
  if (bytes_ == 0) return {};
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (*capturing) return upload_captured(from, stream);
  const auto stage = free_stage();
  if (!stage) return stage.status();
  std::memcpy((*stage)->memory.data(), from, bytes_);
  GRADSTAB_RETURN_IF_ERROR(device_->upload(to_, (*stage)->memory.data(), bytes_, stream));
  return device_->record((*stage)->event, stream);
}

Status StagedUpload::upload_captured(const void* from, Stream stream) {
  auto memory = Memory::allocate(device_, bytes_, Memory::Kind::staging);
  if (!memory) return memory.status();
  std::memcpy(memory->data(), from, bytes_);
  captured_.push_back(std::move(*memory));
  return device_->upload(to_, captured_.back().data(), bytes_, stream);
}

/// The one that was used longest ago, if its copy is done; else a new one, put before it in the ring.
Result<StagedUpload::Stage*> StagedUpload::free_stage() {
  if (!stages_.empty()) {
    Stage& oldest = stages_[next_];
    const auto done = device_->is_done(oldest.event);
    if (!done) return done.status();
    if (!*done && stages_.size() == kMostStages) GRADSTAB_RETURN_IF_ERROR(device_->wait_for(oldest.event));
    if (*done || stages_.size() == kMostStages) {
      next_ = (next_ + 1) % stages_.size();
      return &oldest;
    }
  }
  auto memory = Memory::allocate(device_, bytes_, Memory::Kind::staging);
  if (!memory) return memory.status();
  const auto event = device_->make_event();
  if (!event) return event.status();
  const auto place = stages_.begin() + static_cast<std::ptrdiff_t>(next_);
  stages_.insert(place, Stage{std::move(*memory), *event});
  Stage* fresh = &stages_[next_];
  next_ = (next_ + 1) % stages_.size();
  return fresh;
}

void StagedUpload::release_events() noexcept {
  for (const Stage& stage : stages_) device_->release_event(stage.event);
  stages_.clear();
}

}  // namespace gradstab::device
