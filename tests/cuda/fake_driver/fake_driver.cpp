// A stand-in for the CUDA driver, which runs the kernels' code on the host: with it the code that talks to
// the driver, and the program that checks a device, run where there is none.
//
// Everything that is put into a stream waits in one queue until somebody waits for it, as late as a device
// could ever be. So a copy from staging memory that was used again too early, a missing wait or one too many
// is seen.
#include <cuda.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "backends/cuda/device.hpp"

namespace {

using gradstab::device::kKernelCount;
using gradstab::device::kKernels;
using gradstab::device::Launch;
using gradstab::device::NamedKernel;
using gradstab::device::Tables;
using Work = std::function<void()>;

struct FakeStream {
  bool capturing = false;
  std::vector<Work> captured;
};
struct FakeEvent {
  int pending = 0;
};

std::deque<std::pair<FakeStream*, Work>>& queue() {
  static std::deque<std::pair<FakeStream*, Work>> waiting;
  return waiting;
}

FakeStream* stream_of(CUstream stream) {
  static FakeStream default_stream;
  return stream == nullptr ? &default_stream : reinterpret_cast<FakeStream*>(stream);
}
FakeEvent* event_of(CUevent event) {
  return reinterpret_cast<FakeEvent*>(event);
}
void* memory_at(CUdeviceptr address) {
  return reinterpret_cast<void*>(address);
}

void run_everything() {
  while (!queue().empty()) {
    const Work work = std::move(queue().front().second);
    queue().pop_front();
    work();
  }
}

CUresult put(CUstream stream, Work work) {
  FakeStream* to = stream_of(stream);
  if (to->capturing) {
    to->captured.push_back(std::move(work));
  } else {
    queue().emplace_back(to, std::move(work));
  }
  return CUDA_SUCCESS;
}

gradstab::device::Device& kernels() {
  static const auto device = gradstab::device::emulated_device(gradstab::device::BlockOrder::interleaved);
  return *device;
}

}  // namespace

extern "C" {

CUresult CUDAAPI cuInit(unsigned) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGetErrorName(CUresult, const char** text) {
  *text = "CUDA_ERROR_OF_THE_FAKE";
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGetErrorString(CUresult, const char** text) {
  *text = "refused by the stand-in for the driver";
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGetCount(int* count) {
  *count = 1;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult CUDAAPI cuDeviceGetName(char* name, int length, CUdevice) {
  std::strncpy(name, "no device, a stand-in for the driver", static_cast<std::size_t>(length) - 1);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) {
  static int any;
  *context = reinterpret_cast<CUcontext>(&any);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxGetDevice(CUdevice*) {
  return CUDA_ERROR_INVALID_CONTEXT;  // as for a thread that has not asked for one
}
CUresult CUDAAPI cuCtxSetCurrent(CUcontext) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxPushCurrent(CUcontext) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuCtxPopCurrent(CUcontext*) {
  return CUDA_SUCCESS;
}

/// The image must be what nvcc makes.
CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void* image) {
  constexpr unsigned char kFatBinary[] = {0x50, 0xED, 0x55, 0xBA};
  if (std::memcmp(image, kFatBinary, sizeof kFatBinary) != 0) return CUDA_ERROR_INVALID_IMAGE;
  static int any;
  *module = reinterpret_cast<CUmodule>(&any);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuModuleUnload(CUmodule) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
  for (const NamedKernel& known : kKernels) {
    if (std::string_view(known.name) != name) continue;
    *function = reinterpret_cast<CUfunction>(const_cast<NamedKernel*>(&known));
    return CUDA_SUCCESS;
  }
  return CUDA_ERROR_NOT_FOUND;
}
CUresult CUDAAPI cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) {
  *value = 0;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned blocks, unsigned, unsigned, unsigned threads,
                                unsigned, unsigned, unsigned, CUstream stream, void** arguments, void**) {
  const auto index = static_cast<std::size_t>(reinterpret_cast<const NamedKernel*>(function) - kKernels);
  const Tables tables = *static_cast<const Tables*>(arguments[0]);
  const Launch launch = *static_cast<const Launch*>(arguments[1]);
  if (index >= kKernelCount || blocks == 0 || blocks != launch.blocks ||
      threads != gradstab::device::kThreads)
    return CUDA_ERROR_INVALID_VALUE;
  return put(stream, [=] { kernels().launch(kKernels[index].kernel, tables, launch, nullptr).check(); });
}

CUresult CUDAAPI cuMemAlloc(CUdeviceptr* memory, std::size_t bytes) {
  constexpr std::size_t kAlignment = 256;
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (data == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(data, 0xA5, bytes);
  *memory = reinterpret_cast<CUdeviceptr>(data);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemFree(CUdeviceptr memory) {
  run_everything();
  std::free(memory_at(memory));
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemsetD8(CUdeviceptr memory, unsigned char value, std::size_t bytes) {
  return put(nullptr, [=] { std::memset(memory_at(memory), value, bytes); });
}
CUresult CUDAAPI cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  *memory = std::malloc(bytes);
  if (*memory != nullptr) std::memset(*memory, 0xA5, bytes);
  return *memory != nullptr ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult CUDAAPI cuMemFreeHost(void* memory) {
  run_everything();
  std::free(memory);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t bytes, CUstream stream) {
  return put(stream, [=] { std::memcpy(memory_at(to), from, bytes); });
}
CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t bytes, CUstream stream) {
  return put(stream, [=] { std::memcpy(to, memory_at(from), bytes); });
}

CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned) {
  *stream = reinterpret_cast<CUstream>(new FakeStream);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuStreamDestroy(CUstream stream) {
  run_everything();
  delete stream_of(stream);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuStreamSynchronize(CUstream stream) {
  if (stream_of(stream)->capturing) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  run_everything();
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuStreamQuery(CUstream stream) {
  for (const auto& waiting : queue()) {
    if (waiting.first == stream_of(stream)) return CUDA_ERROR_NOT_READY;
  }
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuLaunchHostFunc(CUstream stream, CUhostFn function, void* argument) {
  return put(stream, [=] { function(argument); });
}

CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  *status = stream_of(stream)->capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode*) {
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
  stream_of(stream)->capturing = true;
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  FakeStream* from = stream_of(stream);
  from->capturing = false;
  *graph = reinterpret_cast<CUgraph>(new std::vector<Work>(std::exchange(from->captured, {})));
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* runnable, CUgraph graph, unsigned long long) {
  *runnable =
      reinterpret_cast<CUgraphExec>(new std::vector<Work>(*reinterpret_cast<std::vector<Work>*>(graph)));
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphLaunch(CUgraphExec runnable, CUstream stream) {
  for (const Work& work : *reinterpret_cast<std::vector<Work>*>(runnable)) put(stream, work);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec runnable) {
  run_everything();
  delete reinterpret_cast<std::vector<Work>*>(runnable);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuGraphDestroy(CUgraph graph) {
  delete reinterpret_cast<std::vector<Work>*>(graph);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned) {
  *event = reinterpret_cast<CUevent>(new FakeEvent);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventDestroy(CUevent event) {
  run_everything();
  delete event_of(event);
  return CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) {
  if (stream_of(stream)->capturing) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  event_of(event)->pending += 1;
  return put(stream, [=] { event_of(event)->pending -= 1; });
}
CUresult CUDAAPI cuEventQuery(CUevent event) {
  return event_of(event)->pending > 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
CUresult CUDAAPI cuEventSynchronize(CUevent) {
  run_everything();
  return CUDA_SUCCESS;
}

}  // extern "C"
