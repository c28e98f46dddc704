// Findings and verdicts in, one HTML page out.
#pragma once

#include <string>
#include <vector>

#include "lab/inspect/analysis.hpp"
#include "lab/inspect/verdict.hpp"
#include "lab/page/page_shell.hpp"

namespace gradstab::lab::inspect {

/// A log with what was found and advised.
struct Inspected {
  Findings findings;
  Verdict verdict;
};

/// One self-contained page, the verdicts first; of each log its norms with events, its loss, and the factors
/// of every method. It loads nothing. A function of what it is given alone.
std::string render_inspect_page(const std::vector<Inspected>& logs);

/// The same before it is one text.
PageContent inspect_content(const std::vector<Inspected>& logs);

}  // namespace gradstab::lab::inspect
