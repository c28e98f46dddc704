// The core knows no device.
#include "core/step/step_plan.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "cuda/plan.hpp"
#endif
