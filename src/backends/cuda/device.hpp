// Device: memory, copies and launches on one device. The driver's, or an emulation on the host for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "backends/cuda/kernels.hpp"
#include "gradstab/status.hpp"

namespace gradstab::device {

/// A CUstream, which is a cudaStream_t. Null: the device's default stream.
using Stream = void*;
/// A CUevent.
using Event = void*;

/// What a device has been asked for, for tests and measurements.
struct DeviceCounts {
  std::uint64_t launches = 0;  ///< kernels started
  std::uint64_t copies = 0;    ///< copies started, both directions
  std::uint64_t waits = 0;     ///< times that the host waited for the device
};

/// Calls are in the order of a stream unless they say otherwise. Errors: what the driver says, by name.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string_view name() const noexcept = 0;

  /// Zeros. May wait for the device; not part of a step.
  virtual Result<void*> allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;

  /// Host memory that copies can read and write while the host goes on.
  virtual Result<void*> allocate_staging(std::size_t bytes) = 0;
  virtual void release_staging(void* memory) noexcept = 0;

  virtual Status upload(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
  virtual Status download(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
  virtual Status launch(Kernel kernel, const Tables& tables, const Launch& launch, Stream stream) = 0;

  /// Whether what is put into the stream is recorded into a graph instead of run.
  virtual Result<bool> is_capturing(Stream stream) = 0;

  virtual Result<Event> make_event() = 0;
  virtual void release_event(Event event) noexcept = 0;
  virtual Status record(Event event, Stream stream) = 0;
  virtual Result<bool> is_done(Event event) = 0;
  virtual Status wait_for(Event event) = 0;
  virtual Status wait_for_stream(Stream stream) = 0;

  const DeviceCounts& counts() const noexcept { return counts_; }

 protected:
  DeviceCounts counts_;
};

/// Device `ordinal`, or below 0 the calling thread's current one. Errors: built without CUDA, no driver, no
/// such device, a device without an image of the kernels.
Result<std::shared_ptr<Device>> open_cuda_device(int ordinal);

/// In which order the emulation runs the blocks of a launch. The device promises none.
enum class BlockOrder : std::uint8_t { forwards, backwards, interleaved };

/// Runs every block in the calling thread over host memory. A stream is nothing here.
std::shared_ptr<Device> emulated_device(BlockOrder order = BlockOrder::forwards);

/// Device or staging memory that is released with its owner.
class Memory {
 public:
  enum class Kind : std::uint8_t { device, staging };

  Memory() = default;
  static Result<Memory> allocate(std::shared_ptr<Device> device, std::size_t bytes, Kind kind = Kind::device);
  Memory(Memory&& other) noexcept { *this = std::move(other); }
  Memory& operator=(Memory&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(kind_, other.kind_);
    return *this;
  }
  ~Memory();

  std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::shared_ptr<Device> device_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Kind kind_ = Kind::device;
};

/// Offsets of several arrays in one allocation.
class Arena {
 public:
  template <class T>
  std::size_t add(std::size_t count) {
    const std::size_t offset = bytes_;
    bytes_ = (bytes_ + count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return offset;
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr std::size_t kAlignment = 256;  // of the widest access, and of a cache line
  std::size_t bytes_ = 0;
};

}  // namespace gradstab::device
