// The factors of every step as a table, for machines.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/inspect/rules.hpp"
#include "lab/inspect/trace.hpp"
#include "lab/support/new_file.hpp"

namespace gradstab::lab::inspect {

/// Writes CSV: step, norm, loss, running median, and a factor for each rule, a row for each record. An empty
/// cell: there is none. Numbers are the shortest that read back as the same. The file appears when it is
/// complete.
class StepsFile {
 public:
  static Result<StepsFile> create(const std::filesystem::path& path);
  Status add(const TraceRecord& record, double median, std::span<const double> factors);
  Status finish() { return file_.commit(); }

 private:
  explicit StepsFile(NewFile file) : file_(std::move(file)) {}
  NewFile file_;
};

}  // namespace gradstab::lab::inspect
