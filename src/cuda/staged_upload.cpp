#include "cuda/staged_upload.hpp"

#include <algorithm>
#include <cstring>

namespace gradstab::device {
namespace {

/// Bytes of a ring, where that is between the fewest stages and the most.
constexpr std::size_t kRingBytes = std::size_t{4} << 20;

}  // namespace

StagedUpload& StagedUpload::operator=(StagedUpload&& other) noexcept {
  release_events();
  device_ = std::move(other.device_);
  to_ = std::exchange(other.to_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  ring_ = std::exchange(other.ring_, {});
  events_ = std::exchange(other.events_, {});
  next_ = std::exchange(other.next_, 0);
  full_ = std::exchange(other.full_, false);
  captured_ = std::exchange(other.captured_, {});
  return *this;
}

void StagedUpload::bind(std::shared_ptr<Device> device, void* to, std::size_t bytes) {
  *this = StagedUpload();
  device_ = std::move(device);
  to_ = to;
  bytes_ = bytes;
}

Status StagedUpload::allocate_ring() {
  const std::size_t stages = std::clamp(kRingBytes / bytes_, kFewestStages, kMostStages);
  auto memory = Memory::allocate(device_, stages * bytes_, Memory::Kind::staging);
  if (!memory) return memory.status();
  for (std::size_t i = 0; i < stages; ++i) {
    const auto event = device_->make_event();
    if (!event) return event.status();
    events_.push_back(*event);
  }
  ring_ = std::move(*memory);
  return {};
}

Status StagedUpload::upload(const void* from, Stream stream) {
  if (bytes_ == 0) return {};
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (*capturing) return upload_captured(from, stream);
  if (ring_.bytes() == 0) GRADSTAB_RETURN_IF_ERROR(allocate_ring());
  const Event event = events_[next_];
  if (full_) {
    const auto done = device_->is_done(event);
    if (!done) return done.status();
    if (!*done) GRADSTAB_RETURN_IF_ERROR(device_->wait_for(event));
  }
  std::byte* stage = ring_.data() + next_ * bytes_;
  std::memcpy(stage, from, bytes_);
  GRADSTAB_RETURN_IF_ERROR(device_->upload(to_, stage, bytes_, stream));
  GRADSTAB_RETURN_IF_ERROR(device_->record(event, stream));
  next_ = (next_ + 1) % events_.size();
  full_ = full_ || next_ == 0;
  return {};
}

Status StagedUpload::upload_captured(const void* from, Stream stream) {
  auto memory = Memory::allocate(device_, bytes_, Memory::Kind::staging);
  if (!memory) return memory.status();
  std::memcpy(memory->data(), from, bytes_);
  captured_.push_back(std::move(*memory));
  return device_->upload(to_, captured_.back().data(), bytes_, stream);
}

void StagedUpload::release_events() noexcept {
  for (const Event event : events_) device_->release_event(event);
  events_.clear();
}

}  // namespace gradstab::device
