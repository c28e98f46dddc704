// Everything a user of the C++ library needs.
#pragma once

#include "gradstab/backend.hpp"        // IWYU pragma: export
#include "gradstab/bounds.hpp"         // IWYU pragma: export
#include "gradstab/decide.hpp"         // IWYU pragma: export
#include "gradstab/fake_quantize.hpp"  // IWYU pragma: export
#include "gradstab/norm_method.hpp"    // IWYU pragma: export
#include "gradstab/transforms.hpp"     // IWYU pragma: export
#include "gradstab/version.hpp"        // IWYU pragma: export
