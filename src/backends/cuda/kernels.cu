// The kernels on the device: each block of the grid runs what kernels.hpp says.
//
// Compiled to an image for several architectures, which the library contains and the driver loads. Without
// fused multiply-add by the compiler: one rounding per written operation, as on the CPU.
#include "backends/cuda/kernels.hpp"

namespace gradstab::device {
namespace {

class DeviceBlock {
 public:
  __device__ std::uint32_t index() const { return blockIdx.x; }

  template <class Body>
  __device__ void each(Body body) {
    body(threadIdx.x);
  }

  template <class Body>
  __device__ void lead(Body body) {
    if (threadIdx.x == 0) body();
  }

  template <class Value>
  __device__ double sum(Value value) {
    __shared__ double warps[kThreads / kWarp];
    double mine = value(threadIdx.x);
    for (unsigned half = kWarp / 2; half > 0; half /= 2) mine += __shfl_down_sync(0xFFFFFFFFu, mine, half);
    if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = mine;
    __syncthreads();
    double total = 0.0;
    for (unsigned warp = 0; warp < kThreads / kWarp; ++warp) total += warps[warp];
    __syncthreads();  // the next sum writes there
    return total;
  }

  __device__ bool arrives_last(std::uint32_t* arrivals, std::uint32_t count) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
      __threadfence();  // what this block has written comes before its arrival
      last = atomicAdd(arrivals, 1u) + 1 == count;
      if (last) *arrivals = 0;
      __threadfence();  // and what the others have written is read after theirs
    }
    __syncthreads();
    const bool result = last;
    __syncthreads();  // the next arrival writes there
    return result;
  }

  static __device__ double load_fresh(const double* value) { return __ldcg(value); }

 private:
  static constexpr unsigned kWarp = 32;
};

}  // namespace
}  // namespace gradstab::device

using namespace gradstab;
using namespace gradstab::device;

#define GRADSTAB_KERNEL(name, blocks_per_multiprocessor)                                              \
  extern "C" __global__ void __launch_bounds__(gradstab::device::kThreads, blocks_per_multiprocessor) \
      gradstab_kernel_##name(const __grid_constant__ Tables tables, const __grid_constant__ Launch launch)

#define GRADSTAB_PASS_KERNEL(name, blocks_per_multiprocessor) \
  GRADSTAB_KERNEL(name, blocks_per_multiprocessor) {          \
    DeviceBlock block;                                        \
    run_##name(block, tables, launch);                        \
  }
GRADSTAB_DEVICE_PASSES(GRADSTAB_PASS_KERNEL)

// Without states less is in flight, and more blocks hide the memory's latency.
#define GRADSTAB_UPDATE_KERNEL(name, states)             \
  GRADSTAB_KERNEL(update_##name, states == 0 ? 4 : 2) {  \
    DeviceBlock block;                                   \
    run_update<UpdateRule::name>(block, tables, launch); \
  }
GRADSTAB_UPDATE_RULES(GRADSTAB_UPDATE_KERNEL)
