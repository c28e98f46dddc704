#include "backends/cuda/device.hpp"

namespace gradstab::device {

Result<Memory> Memory::allocate(std::shared_ptr<Device> device, std::size_t bytes, Kind kind) {
  Memory memory;
  const std::size_t wanted = bytes == 0 ? 1 : bytes;
  const auto data = kind == Kind::device ? device->allocate(wanted) : device->allocate_staging(wanted);
  if (!data) return data.status();
  memory.device_ = std::move(device);
  memory.data_ = *data;
  memory.bytes_ = bytes;
  memory.kind_ = kind;
  return memory;
}

Memory::~Memory() {
  if (data_ == nullptr) return;
  kind_ == Kind::device ? device_->release(data_) : device_->release_staging(data_);
}

}  // namespace gradstab::device
