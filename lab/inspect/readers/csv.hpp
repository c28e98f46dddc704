// CSV as spreadsheets and loggers write it: RFC 4180, with commas, semicolons or tabs.
#pragma once

#include <string_view>

#include "lab/inspect/readers/rows.hpp"
#include "lab/inspect/readers/source.hpp"

namespace gradstab::lab::inspect {

/// Whether the front of a text is the header of a table.
bool looks_like_csv(std::string_view front);

/// The rows below the header. Cells may be empty; a quoted one may hold line ends. Errors: a row with more
/// cells than the header has names, naming its line; a quote that does not end.
Status csv_rows(const Source& source, TraceFacts& facts, RowSink& sink);

}  // namespace gradstab::lab::inspect
