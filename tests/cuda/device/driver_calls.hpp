// The driver's functions that the checks on a device need beside those of the library.
#pragma once

#include <cuda.h>
#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace gradstab::testing {

#define GRADSTAB_TEXT_OF(name) #name
#define GRADSTAB_EXPANDED_TEXT_OF(name) GRADSTAB_TEXT_OF(name)

struct DriverCalls {
#define GRADSTAB_CHECK_FUNCTIONS(entry)                                                              \
  entry(cuInit) entry(cuDeviceGetName) entry(cuDeviceGet) entry(cuDevicePrimaryCtxRetain)            \
      entry(cuCtxSetCurrent) entry(cuStreamCreate) entry(cuStreamDestroy) entry(cuStreamSynchronize) \
          entry(cuStreamQuery) entry(cuStreamBeginCapture) entry(cuStreamEndCapture)                 \
              entry(cuGraphInstantiateWithFlags) entry(cuGraphLaunch) entry(cuLaunchHostFunc)        \
                  entry(cuGraphExecDestroy) entry(cuGraphDestroy)
#define GRADSTAB_CHECK_MEMBER(function) decltype(&::function) function = nullptr;
  GRADSTAB_CHECK_FUNCTIONS(GRADSTAB_CHECK_MEMBER)
#undef GRADSTAB_CHECK_MEMBER

  DriverCalls() {
    void* library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library == nullptr) throw std::runtime_error("there is no CUDA driver");
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      if (function == nullptr) throw std::runtime_error(std::string("the CUDA driver has no ") + name);
    };
#define GRADSTAB_CHECK_FIND(function) find(function, GRADSTAB_EXPANDED_TEXT_OF(function));
    GRADSTAB_CHECK_FUNCTIONS(GRADSTAB_CHECK_FIND)
#undef GRADSTAB_CHECK_FIND
  }
};

inline void check(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS)
    throw std::runtime_error(std::string(what) + " failed with " + std::to_string(result));
}

}  // namespace gradstab::testing
