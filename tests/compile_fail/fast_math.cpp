// The sources of the library refuse a compiler that assumes that there is no NaN.
#ifdef GRADSTAB_MUST_NOT_COMPILE
#define __FAST_MATH__ 1  // as -ffast-math does
#endif
#include "core/base/floating_point.hpp"

static_assert(gradstab::detail::is_nan(std::numeric_limits<double>::quiet_NaN()));
static_assert(gradstab::detail::is_nan(std::numeric_limits<float>::quiet_NaN()));
static_assert(gradstab::detail::is_infinite(-std::numeric_limits<double>::infinity()));
static_assert(!gradstab::detail::is_nan(std::numeric_limits<double>::infinity()));
static_assert(gradstab::detail::is_finite(-std::numeric_limits<double>::max()));
static_assert(gradstab::detail::is_finite(std::numeric_limits<float>::denorm_min()));
static_assert(!gradstab::detail::is_finite(std::numeric_limits<float>::infinity()));
