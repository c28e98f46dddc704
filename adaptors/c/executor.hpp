// The threads that the caller of the C interface asks for.
#pragma once

#include <memory>

#include "gradstab/backend.hpp"
#include "gradstab/gradstab.h"
#include "gradstab/status.hpp"

namespace gradstab::c {

/// A pool, the caller's own threads, or the calling thread alone. Errors: both asked for, settings of one
/// without the other, too many threads, threads that the system refuses to start.
Result<std::shared_ptr<Executor>> make_executor(const gradstab_run_options& options);

}  // namespace gradstab::c
