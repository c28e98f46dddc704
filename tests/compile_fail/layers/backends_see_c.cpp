// The C interface is above all of C++.
#include "backends/backend_list.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "c/handle.hpp"
#endif
