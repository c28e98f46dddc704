// Driver: the functions of the CUDA driver that this library calls, found when they are first needed.
//
// The library is linked with nothing of CUDA, so that it runs where there is no driver. The driver's
// interface keeps its meaning for every later driver; streams and events are those of the CUDA runtime.
#pragma once

#include <cuda.h>

#include "gradstab/status.hpp"

namespace gradstab::device {

struct Driver {
  // The names of cuda.h, which may be macros for the version of a function that the header describes.
#define GRADSTAB_DRIVER_FUNCTIONS(entry)                                                                \
  entry(cuInit) entry(cuDriverGetVersion) entry(cuGetErrorName) entry(cuGetErrorString)                 \
      entry(cuDeviceGetCount) entry(cuDeviceGet) entry(cuDevicePrimaryCtxRetain)                        \
          entry(cuDevicePrimaryCtxRelease) entry(cuCtxGetDevice) entry(cuCtxPushCurrent)                \
              entry(cuCtxPopCurrent) entry(cuModuleLoadData) entry(cuModuleUnload)                      \
                  entry(cuModuleGetFunction) entry(cuFuncGetAttribute) entry(cuLaunchKernel)            \
                      entry(cuMemAlloc) entry(cuMemFree) entry(cuMemsetD8) entry(cuMemHostAlloc)        \
                          entry(cuMemFreeHost) entry(cuMemcpyHtoDAsync) entry(cuMemcpyDtoHAsync)        \
                              entry(cuStreamIsCapturing) entry(cuThreadExchangeStreamCaptureMode)       \
                                  entry(cuStreamSynchronize) entry(cuEventCreate) entry(cuEventDestroy) \
                                      entry(cuEventRecord) entry(cuEventQuery) entry(cuEventSynchronize)
// NOLINTNEXTLINE(bugprone-macro-parentheses): it is a name that is declared
#define GRADSTAB_DRIVER_MEMBER(function) decltype(&::function) function = nullptr;
  GRADSTAB_DRIVER_FUNCTIONS(GRADSTAB_DRIVER_MEMBER)
#undef GRADSTAB_DRIVER_MEMBER
};

/// The driver, initialised; the same for every call. Errors: no driver, one that is too old, no device.
Result<const Driver*> driver();

/// Ok, or what the driver says was wrong with `call`.
Status check(const Driver& driver, CUresult result, const char* call);

}  // namespace gradstab::device
