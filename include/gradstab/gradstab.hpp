// Everything a user of the C++ library needs: every other public header of it.
#pragma once

#include "gradstab/backend.hpp"        // IWYU pragma: export
#include "gradstab/bounds.hpp"         // IWYU pragma: export
#include "gradstab/clipping.hpp"       // IWYU pragma: export
#include "gradstab/cuda.hpp"           // IWYU pragma: export
#include "gradstab/decide.hpp"         // IWYU pragma: export
#include "gradstab/export.hpp"         // IWYU pragma: export
#include "gradstab/methods.hpp"        // IWYU pragma: export
#include "gradstab/norm_method.hpp"    // IWYU pragma: export
#include "gradstab/norm_recorder.hpp"  // IWYU pragma: export
#include "gradstab/optimizer.hpp"      // IWYU pragma: export
#include "gradstab/options.hpp"        // IWYU pragma: export
#include "gradstab/recording.hpp"      // IWYU pragma: export
#include "gradstab/status.hpp"         // IWYU pragma: export
#include "gradstab/tensor.hpp"         // IWYU pragma: export
#include "gradstab/transform.hpp"      // IWYU pragma: export
#include "gradstab/transforms.hpp"     // IWYU pragma: export
