#include "backends/cuda/driver.hpp"

#include <dlfcn.h>

#include <string>

#include "core/base/text.hpp"

namespace gradstab::device {
namespace {

struct Loaded {
  Driver functions;
  Status status;
};

// A name that is a macro becomes what it stands for before it is made a text.
#define GRADSTAB_TEXT_OF(name) #name
#define GRADSTAB_EXPANDED_TEXT_OF(name) GRADSTAB_TEXT_OF(name)

Loaded load() {
  Loaded loaded;
  // Never closed: streams and memory of the process are its.
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    loaded.status = {StatusCode::unsupported, "there is no CUDA driver: libcuda.so.1 was not found"};
    return loaded;
  }
  std::string missing;
  const auto find = [&](auto& function, const char* name) {
    void* symbol = dlsym(library, name);
    if (symbol == nullptr && missing.empty()) missing = name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
#define GRADSTAB_DRIVER_FIND(function) find(loaded.functions.function, GRADSTAB_EXPANDED_TEXT_OF(function));
  GRADSTAB_DRIVER_FUNCTIONS(GRADSTAB_DRIVER_FIND)
#undef GRADSTAB_DRIVER_FIND
  if (!missing.empty()) {
    loaded.status = {StatusCode::unsupported,
                     "the CUDA driver is too old: it has no " + missing + "; CUDA 12 or later is needed"};
    return loaded;
  }
  const Driver& functions = loaded.functions;
  loaded.status = check(functions, functions.cuInit(0), "cuInit");
  int count = 0;
  if (loaded.status.ok())
    loaded.status = check(functions, functions.cuDeviceGetCount(&count), "cuDeviceGetCount");
  if (loaded.status.ok() && count == 0)
    loaded.status = {StatusCode::unsupported, "the CUDA driver found no device"};
  return loaded;
}

}  // namespace

Result<const Driver*> driver() {
  static const Loaded loaded = load();
  if (!loaded.status.ok()) return loaded.status;
  return &loaded.functions;
}

Status check(const Driver& driver, CUresult result, const char* call) {
  if (result == CUDA_SUCCESS) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  driver.cuGetErrorName(result, &name);
  driver.cuGetErrorString(result, &text);
  const bool none = result == CUDA_ERROR_NO_DEVICE || result == CUDA_ERROR_INVALID_DEVICE ||
                    result == CUDA_ERROR_NO_BINARY_FOR_GPU;
  return {none ? StatusCode::unsupported : StatusCode::io_error,
          detail::concat(call, " failed: ", name != nullptr ? name : "unknown error", ", ",
                         text != nullptr ? text : "no description")};
}

}  // namespace gradstab::device
