#include "lab/inspect/steps_file.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "lab/inspect/settings.hpp"

namespace gradstab::lab::inspect {
namespace {

void append_cell(std::string& row, double value, bool there) {
  row += ',';
  if (!there) return;
  if (std::isnan(value))
    row += "nan";
  else
    fmt::format_to(std::back_inserter(row), "{}", value);
}

}  // namespace

Result<StepsFile> StepsFile::create(const std::filesystem::path& path) {
  auto file = NewFile::create(path);
  if (!file) return file.status();
  StepsFile steps(*std::move(file));
  const auto rules = Rules::create({}, 1.0);
  if (!rules) return rules.status();
  std::string header = "step,norm,loss,median";
  for (const Rule& rule : rules->list()) header += "," + rule.key;
  GRADSTAB_RETURN_IF_ERROR(steps.file_.write(header + "\n"));
  return steps;
}

Status StepsFile::add(const TraceRecord& record, double median, std::span<const double> factors) {
  std::string row = fmt::format("{}", record.step);
  append_cell(row, record.norm, true);
  append_cell(row, record.loss.value_or(0.0), record.loss.has_value());
  append_cell(row, median, !std::isnan(median));
  for (const double factor : factors) append_cell(row, factor, !std::isnan(factor));
  row += '\n';
  return file_.write(row);
}

}  // namespace gradstab::lab::inspect
