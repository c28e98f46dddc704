// Text logs of training programs: lines with names and numbers among other text.
#pragma once

#include <string>
#include <string_view>

#include "lab/inspect/readers/source.hpp"
#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Whether one of the first lines has a gradient norm in one of the known ways.
bool looks_like_text_log(std::string_view front);

/// The records of a text log: of the programs in text_dialects.hpp, and others with a "grad_norm" and a step
/// or a loss in a line. The first line that one of them fits decides. Colours (ANSI escapes)
/// and commas in numbers do not count. Errors: no line fits any.
Status read_text_log(const Source& source, TraceFacts& facts, TraceSink& sink);

/// The records of the lines that `pattern` fits: an RE2 expression with a group named norm and, if wanted,
/// step and loss. Errors: invalid_argument for what is no such pattern; corrupt_data where no line fits.
Status read_pattern_log(const Source& source, const std::string& pattern, TraceFacts& facts, TraceSink& sink);

/// Errors: those of the pattern itself.
Status check_pattern(const std::string& pattern);

}  // namespace gradstab::lab::inspect
