// Whatever a path leads to: the runs in it, each ready to be read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/inspect/readers/names.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// How logs are read.
struct ReadOptions {
  ColumnChoice columns = {};
  /// A regular expression (RE2) with groups named norm and, where the log has them, step and loss, for the
  /// lines of a text log of a kind of its own. Empty: the kinds that are known.
  std::string pattern = {};
};

/// The runs that a path stands for, told by what is in the files and not by their names: a log; a folder with
/// one, such as a run of this program; a folder of TensorBoard event files, which together are one run; a
/// folder of such folders. Errors, which begin with the path: nothing is there that is known; what was
/// expected; a pattern that is none.
Result<std::vector<Trace>> open_traces(const std::filesystem::path& path, const ReadOptions& options);

/// The files of a folder, and not of those in it, that open_traces knows by their names.
std::vector<std::filesystem::path> logs_named_in(const std::filesystem::path& folder);

/// The trace in bytes that are in memory, as open_traces finds that of a file. `bytes` must outlive it.
Result<Trace> trace_of_bytes(std::string_view bytes, const std::string& name, const ReadOptions& options);

}  // namespace gradstab::lab::inspect
