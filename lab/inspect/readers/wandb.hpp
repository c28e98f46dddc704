// Run files of Weights & Biases: run-<id>.wandb.
#pragma once

#include <string_view>

#include "lab/inspect/readers/rows.hpp"
#include "lab/inspect/readers/source.hpp"

namespace gradstab::lab::inspect {

/// Whether these bytes are the front of such a file.
bool looks_like_wandb(std::string_view front);

/// The history of the run, a row for each call of log(), in which "_step" counts those calls. A file that
/// ends anywhere is what a running or killed run leaves. What has a wrong checksum is left out and noted.
Status wandb_rows(const Source& source, TraceFacts& facts, RowSink& sink);

}  // namespace gradstab::lab::inspect
