// What a page shows of a run beside its numbers: tables, and lines over something.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace gradstab::lab {

/// HTML of an exhibit that a task has given. Untrusted; what has another form than one of these is left out:
///
/// {"kind": "table", "title", "caption", "columns": [texts], "rows": [[texts or numbers]]}
/// {"kind": "lines", "title", "caption", "x": [numbers], "lines": [{"label", "y": [numbers]}]}
///
/// Lines are drawn as SVG, which needs no script: each over all of x, on one axis.
std::string exhibit_html(const nlohmann::json& exhibit);

}  // namespace gradstab::lab
