// JSON of logs: one object a line, a list of objects, or a document with such a list in it, such as
// trainer_state.json. NaN, Infinity and -Infinity may stand bare, as Python writes them.
#pragma once

#include <string_view>

#include "lab/inspect/readers/rows.hpp"
#include "lab/inspect/readers/source.hpp"

namespace gradstab::lab::inspect {

/// JSON lines. Members of objects within objects are called "optim.grad_norm"; lists are left out. A last
/// line that is cut off is left out with a note. Errors: a line that is no JSON, with its number.
Status json_line_rows(const Source& source, TraceFacts& facts, RowSink& sink);

/// One JSON document: a list of objects, or an object with the list `log_history` (trainer_state.json). What
/// stands beside the list is given in rows of its own, each with one value. A document that ends too early is
/// read as far as it goes, with a note. Errors: what is no JSON, with the place.
Status json_document_rows(const Source& source, TraceFacts& facts, RowSink& sink);

/// The values of one JSON object, as json_line_rows gives those of a line, without ending the row. False:
/// `text` is no object.
bool json_values(std::string_view text, RowSink& sink);

}  // namespace gradstab::lab::inspect
