// The device of the CUDA driver.
#include <array>
#include <string>

#include "backends/cuda/device.hpp"
#include "backends/cuda/driver.hpp"
#include "core/base/text.hpp"
#include "gradstab/cuda.hpp"

// The image of the kernels, as kernels_image.cpp has it.
extern "C" const unsigned char gradstab_kernels_image[];

namespace gradstab {
namespace device {
namespace {

CUstream stream_of(Stream stream) noexcept {
  return static_cast<CUstream>(stream);
}
CUevent event_of(Event event) noexcept {
  return static_cast<CUevent>(event);
}
CUdeviceptr address_of(const void* memory) noexcept {
  return reinterpret_cast<CUdeviceptr>(memory);
}

/// Makes the device's primary context, which the CUDA runtime uses too, the current one for as long as this
/// lives.
class Current {
 public:
  Current(const Driver& driver, CUcontext context) noexcept : driver_(driver) {
    result_ = driver_.cuCtxPushCurrent(context);
  }
  ~Current() {
    CUcontext popped = nullptr;
    if (result_ == CUDA_SUCCESS) driver_.cuCtxPopCurrent(&popped);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const Driver& driver_;
  CUresult result_;
};

/// Memory is taken also while some stream of the thread is captured; it is no part of the graph.
class OutsideCapture {
 public:
  explicit OutsideCapture(const Driver& driver) noexcept : driver_(driver) {
    driver_.cuThreadExchangeStreamCaptureMode(&mode_);
  }
  ~OutsideCapture() { driver_.cuThreadExchangeStreamCaptureMode(&mode_); }
  OutsideCapture(const OutsideCapture&) = delete;
  OutsideCapture& operator=(const OutsideCapture&) = delete;

 private:
  const Driver& driver_;
  CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;
};

class CudaDevice final : public Device {
 public:
  CudaDevice(const Driver& driver, CUdevice device) : driver_(driver), device_(device) {}
  ~CudaDevice() override {
    if (context_ == nullptr) return;
    {
      const Current current(driver_, context_);
      if (module_ != nullptr) driver_.cuModuleUnload(module_);
    }
    driver_.cuDevicePrimaryCtxRelease(device_);
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  Status open() {
    GRADSTAB_RETURN_IF_ERROR(
        check(driver_, driver_.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain"));
    return run("cuModuleLoadData", [&] {
      CUresult result = driver_.cuModuleLoadData(&module_, gradstab_kernels_image);
      for (std::size_t i = 0; i < kKernelCount && result == CUDA_SUCCESS; ++i) {
        result = driver_.cuModuleGetFunction(&functions_[i], module_, kKernels[i].name);
        // Asked for an attribute, the driver loads the function now: not in a first launch, which would wait
        // for the device, or fail while a stream is captured.
        int registers = 0;
        if (result == CUDA_SUCCESS)
          result = driver_.cuFuncGetAttribute(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, functions_[i]);
      }
      return result;
    });
  }

  std::string_view name() const noexcept override { return "cuda"; }

  Result<void*> allocate(std::size_t bytes) override {
    const OutsideCapture outside(driver_);
    CUdeviceptr memory = 0;
    const Status status = run("cuMemAlloc", [&] { return driver_.cuMemAlloc(&memory, bytes); });
    if (!status.ok()) {
      return Status(status.code(),
                    detail::concat(status.message(), "; asked for ", bytes, " bytes of device memory"));
    }
    GRADSTAB_RETURN_IF_ERROR(run("cuMemsetD8", [&] {
      const CUresult result = driver_.cuMemsetD8(memory, 0, bytes);
      // The zeros are written in the default stream, and whoever needs them may be in another.
      return result == CUDA_SUCCESS ? driver_.cuStreamSynchronize(nullptr) : result;
    }));
    return reinterpret_cast<void*>(memory);  // NOLINT(performance-no-int-to-ptr): the driver's own type
  }
  void release(void* memory) noexcept override {
    const OutsideCapture outside(driver_);
    const Current current(driver_, context_);
    driver_.cuMemFree(address_of(memory));
  }

  Result<void*> allocate_staging(std::size_t bytes) override {
    const OutsideCapture outside(driver_);
    void* memory = nullptr;
    GRADSTAB_RETURN_IF_ERROR(run(
        "cuMemHostAlloc", [&] { return driver_.cuMemHostAlloc(&memory, bytes, CU_MEMHOSTALLOC_PORTABLE); }));
    return memory;
  }
  void release_staging(void* memory) noexcept override {
    const OutsideCapture outside(driver_);
    const Current current(driver_, context_);
    driver_.cuMemFreeHost(memory);
  }

  Status upload(void* to, const void* from, std::size_t bytes, Stream stream) override {
    counts_.copies += 1;
    return run("cuMemcpyHtoDAsync",
               [&] { return driver_.cuMemcpyHtoDAsync(address_of(to), from, bytes, stream_of(stream)); });
  }
  Status download(void* to, const void* from, std::size_t bytes, Stream stream) override {
    counts_.copies += 1;
    return run("cuMemcpyDtoHAsync",
               [&] { return driver_.cuMemcpyDtoHAsync(to, address_of(from), bytes, stream_of(stream)); });
  }

  Status launch(Kernel kernel, const Tables& tables, const Launch& launch, Stream stream) override {
    counts_.launches += 1;
    Tables table_argument = tables;
    Launch launch_argument = launch;
    void* arguments[] = {&table_argument, &launch_argument};
    return run(kKernels[kernel.index()].name, [&] {
      return driver_.cuLaunchKernel(functions_[kernel.index()], launch.blocks, 1, 1, kThreads, 1, 1, 0,
                                    stream_of(stream), arguments, nullptr);
    });
  }

  Result<bool> is_capturing(Stream stream) override {
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    GRADSTAB_RETURN_IF_ERROR(
        run("cuStreamIsCapturing", [&] { return driver_.cuStreamIsCapturing(stream_of(stream), &status); }));
    return status != CU_STREAM_CAPTURE_STATUS_NONE;
  }

  Result<Event> make_event() override {
    CUevent event = nullptr;
    GRADSTAB_RETURN_IF_ERROR(
        run("cuEventCreate", [&] { return driver_.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING); }));
    return Event{event};
  }
  void release_event(Event event) noexcept override {
    const Current current(driver_, context_);
    driver_.cuEventDestroy(event_of(event));
  }
  Status record(Event event, Stream stream) override {
    return run("cuEventRecord", [&] { return driver_.cuEventRecord(event_of(event), stream_of(stream)); });
  }
  Result<bool> is_done(Event event) override {
    const Current current(driver_, context_);
    const CUresult result = driver_.cuEventQuery(event_of(event));
    if (result == CUDA_ERROR_NOT_READY) return false;
    GRADSTAB_RETURN_IF_ERROR(check(driver_, result, "cuEventQuery"));
    return true;
  }
  Status wait_for(Event event) override {
    counts_.waits += 1;
    return run("cuEventSynchronize", [&] { return driver_.cuEventSynchronize(event_of(event)); });
  }
  Status wait_for_stream(Stream stream) override {
    counts_.waits += 1;
    return run("cuStreamSynchronize", [&] { return driver_.cuStreamSynchronize(stream_of(stream)); });
  }

 private:
  template <class Body>
  Status run(const char* call, Body body) {
    const Current current(driver_, context_);
    return check(driver_, body(), call);
  }

  const Driver& driver_;
  CUdevice device_;
  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
  std::array<CUfunction, kKernelCount> functions_ = {};
};

}  // namespace

Result<std::shared_ptr<Device>> open_cuda_device(int ordinal) {
  const auto functions = driver();
  if (!functions) return functions.status();
  const Driver& driver = **functions;
  CUdevice device = 0;
  if (ordinal >= 0) {
    GRADSTAB_RETURN_IF_ERROR(check(driver, driver.cuDeviceGet(&device, ordinal),
                                   detail::concat("cuDeviceGet(", ordinal, ")").c_str()));
  } else if (driver.cuCtxGetDevice(&device) != CUDA_SUCCESS) {
    // The thread has no current device; where it asked for none, the runtime takes the first.
    GRADSTAB_RETURN_IF_ERROR(check(driver, driver.cuDeviceGet(&device, 0), "cuDeviceGet(0)"));
  }
  auto opened = std::make_shared<CudaDevice>(driver, device);
  GRADSTAB_RETURN_IF_ERROR(opened->open());
  return std::shared_ptr<Device>(std::move(opened));
}

}  // namespace device

bool cuda_is_built() noexcept {
  return true;
}

Status cuda_available() {
  return device::driver().status();
}

}  // namespace gradstab
