// Whether runs may be compared: they read the same data.
#pragma once

#include <span>
#include <string>

#include "gradstab/status.hpp"
#include "lab/run/run_record.hpp"

namespace gradstab::lab {

/// Whether runs of a task with the same settings of data read the same data, as far as they recorded its
/// SHA-256: the runs of a sweep are compared with each other. The error names two that did not.
Status check_common_data(std::span<const RunRecord> runs);

/// In what the data of these runs differ, which have one task: settings, "tokenizer, vocab_size". Empty if in
/// nothing: only then their scores can be compared.
std::string data_that_differ(std::span<const RunRecord> runs);

}  // namespace gradstab::lab
