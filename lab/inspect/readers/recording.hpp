// Recordings of norms, the format of this project's own recorder: docs/recording-format.md.
#pragma once

#include <string_view>

#include "lab/inspect/readers/names.hpp"
#include "lab/inspect/readers/source.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Whether these bytes are the front of such a file.
bool looks_like_recording(std::string_view front);

/// Gives its steps, with the norms of all tensors that had a gradient. A block that is cut off at the end is
/// what a running job leaves. Damaged blocks are left out and noted. The norm that `choice` may name is that
/// of a tensor, instead of the global one. Errors: no recording, one of a later version, one without a step;
/// a name of the choice that is not there.
Status read_recording(const Source& source, const ColumnChoice& choice, TraceFacts& facts, TraceSink& sink);

}  // namespace gradstab::lab::inspect
