// The device emulated on the host: the kernels' own code, block after block. For tests and small inputs.
#include <cstdlib>
#include <cstring>

#include "backends/cuda/device.hpp"
#include "backends/cuda/host_block.hpp"

namespace gradstab::device {
namespace {

void run_block(Kernel kernel, HostBlock& block, const Tables& tables, const Launch& launch) {
  switch (kernel.pass) {
#define GRADSTAB_CASE(name, ...) \
  case Pass::name:               \
    return run_##name(block, tables, launch);
    GRADSTAB_DEVICE_PASSES(GRADSTAB_CASE)
#undef GRADSTAB_CASE
    case Pass::update:
      return visit_rule(kernel.rule,
                        [&]<UpdateRule kRule>(RuleTag<kRule>) { run_update<kRule>(block, tables, launch); });
  }
  __builtin_trap();  // no pass at all
}

class EmulatedDevice final : public Device {
 public:
  explicit EmulatedDevice(BlockOrder order) : order_(order) {}

  std::string_view name() const noexcept override { return "emulated"; }

  Result<void*> allocate(std::size_t bytes) override {
    // Of a device, memory is aligned to 256 bytes.
    constexpr std::size_t kAlignment = 256;
    void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (memory == nullptr)
      return Status(StatusCode::unsupported, "the host has no memory left to emulate a device");
    std::memset(memory, 0, bytes);
    return memory;
  }
  void release(void* memory) noexcept override { std::free(memory); }
  Result<void*> allocate_staging(std::size_t bytes) override { return allocate(bytes); }
  void release_staging(void* memory) noexcept override { std::free(memory); }

  Status upload(void* to, const void* from, std::size_t bytes, Stream) override {
    return copy(to, from, bytes);
  }
  Status download(void* to, const void* from, std::size_t bytes, Stream) override {
    return copy(to, from, bytes);
  }

  Status launch(Kernel kernel, const Tables& tables, const Launch& launch, Stream) override {
    counts_.launches += 1;
    for (std::uint32_t i = 0; i < launch.blocks; ++i) {
      HostBlock block(block_at(i, launch.blocks));
      run_block(kernel, block, tables, launch);
    }
    return {};
  }

  Result<bool> is_capturing(Stream) override { return false; }
  Result<Event> make_event() override { return Event{this}; }
  void release_event(Event) noexcept override {}
  Status record(Event, Stream) override { return {}; }
  Result<bool> is_done(Event) override { return true; }
  Status wait_for(Event) override { return wait_for_stream(nullptr); }
  Status wait_for_stream(Stream) override {
    counts_.waits += 1;
    return {};
  }

 private:
  Status copy(void* to, const void* from, std::size_t bytes) {
    counts_.copies += 1;
    if (bytes > 0) std::memcpy(to, from, bytes);
    return {};
  }

  std::uint32_t block_at(std::uint32_t i, std::uint32_t blocks) const noexcept {
    switch (order_) {
      case BlockOrder::forwards:
        return i;
      case BlockOrder::backwards:
        return blocks - 1 - i;
      case BlockOrder::interleaved:  // the odd ones first
        return i < blocks / 2 ? 2 * i + 1 : 2 * (i - blocks / 2);
    }
    return i;
  }

  BlockOrder order_;
};

}  // namespace

std::shared_ptr<Device> emulated_device(BlockOrder order) {
  return std::make_shared<EmulatedDevice>(order);
}

}  // namespace gradstab::device
