// Jupyter notebooks: what their cells printed.
#pragma once

#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/inspect/readers/source.hpp"

namespace gradstab::lab::inspect {

/// Whether this is the front of a notebook: a JSON document with cells.
bool looks_like_notebook(std::string_view front);

/// The text that its cells printed, in their order. Errors: it is no JSON, or larger than kMostJsonBytes.
Result<std::string> output_of_notebook(const Source& source);

}  // namespace gradstab::lab::inspect
