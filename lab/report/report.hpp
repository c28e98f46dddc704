// Run records in, one HTML page out.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "lab/page/page_shell.hpp"
#include "lab/run/run_record.hpp"

namespace gradstab::lab {

/// How a report is written. The page is a function of these and the records alone: no clock, no file is read.
struct ReportOptions {
  std::string title = "Training runs compared";
  std::string generated_at;       ///< shown in the footer when not empty
  std::size_t max_points = 1500;  ///< most points drawn per line; see downsample.hpp for what is kept
};

/// One self-contained page that compares `runs`, the first being the reference: verdict table, charts,
/// settings, environment, commands and explanations. It loads nothing, from the network or from disk, and
/// says so to the browser in a content security policy. Run names, settings and every other recorded text are
/// treated as untrusted. Fails for an empty `runs` and for a `max_points` under kFewestPoints.
Result<std::string> render_report(std::span<const RunRecord> runs, const ReportOptions& options);

/// The same before it is one text.
Result<PageContent> report_content(std::span<const RunRecord> runs, const ReportOptions& options);

}  // namespace gradstab::lab
