// Kernels know nothing of the objects that start them.
#include "backends/cuda/device.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "cuda/engine.hpp"
#endif
