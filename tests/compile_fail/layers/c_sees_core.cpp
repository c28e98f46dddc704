// The C interface is made of the public headers.
#include "c/handle.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "core/base/text.hpp"
#endif
