// Public headers stand alone: no folder of the sources is installed.
#include "gradstab/transform.hpp"

#ifdef GRADSTAB_MUST_NOT_COMPILE
#include "core/base/text.hpp"
#endif
