// A library that was built without a CUDA compiler.
#include "backends/cuda/device.hpp"
#include "gradstab/cuda.hpp"

namespace gradstab {
namespace {

Status not_built() {
  return {StatusCode::unsupported,
          "this library was built without CUDA; build it where nvcc is, with -DGRADSTAB_CUDA=ON"};
}

}  // namespace

Result<std::shared_ptr<device::Device>> device::open_cuda_device(int) {
  return not_built();
}

bool cuda_is_built() noexcept {
  return false;
}

Status cuda_available() {
  return not_built();
}

}  // namespace gradstab
