#include "lab/train/device.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace gradstab::lab {

Result<torch::Device> device_named(const std::string& name) {
  if (name == "cpu") return torch::Device(torch::kCPU);
  const auto unusable = [&](const std::string& why) {
    return Status(StatusCode::failed_precondition, fmt::format("--device {}: {}", name, why));
  };
  // Not at::hasCUDA(), which asks for a device too.
  if (!at::globalContext().hasCUDART()) return unusable("this LibTorch was built without CUDA");
  const auto count = static_cast<int>(torch::cuda::device_count());
  if (count == 0) return unusable("LibTorch found no CUDA device");
  const torch::Device device(name);
  if (device.has_index() && device.index() >= count)
    return unusable(
        fmt::format("LibTorch found {} CUDA device{}, numbered from 0", count, count == 1 ? "" : "s"));
  // With its number, so that it equals the device of its tensors.
  return device.has_index() ? device : torch::Device(torch::kCUDA, 0);
}

std::string device_model(const torch::Device& device) {
  // By the driver's own functions: LibTorch's header for this wants a CUDA toolkit. The driver is in the
  // process already, and numbers devices as LibTorch does.
  using Get = int (*)(int*, int);
  using GetName = int (*)(char*, int, int);
  if (!device.is_cuda()) return {};
  void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (driver == nullptr) return {};
  const auto get = reinterpret_cast<Get>(dlsym(driver, "cuDeviceGet"));
  const auto get_name = reinterpret_cast<GetName>(dlsym(driver, "cuDeviceGetName"));
  char name[256] = {};
  int handle = 0;
  const bool said = get != nullptr && get_name != nullptr && get(&handle, device.index()) == 0 &&
                    get_name(name, sizeof name, handle) == 0;
  dlclose(driver);
  return said ? name : "";
}

}  // namespace gradstab::lab
