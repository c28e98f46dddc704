// The core decides; what goes through memory is above it.
#include "core/step/step_plan.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "backends/backend_list.hpp"
#endif
