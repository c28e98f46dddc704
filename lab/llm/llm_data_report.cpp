#include "lab/llm/llm_data_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace gradstab::lab {

Result<DataReport> llm_data_report(const DatasetOptions& options, const std::string& text,
                                   const PreparationProgress& on_progress) {
  const auto dataset = prepare_dataset(options, [&](PrepareStage stage, double fraction) {
    if (on_progress) on_progress(to_string(stage), fraction);
  });
  if (!dataset) return dataset.status();
  DataReport report = {{"source", dataset->description()}};
  for (const auto& [label, part] :
       {std::pair("training", CorpusPart::train), std::pair("validation", CorpusPart::validation)}) {
    const auto& counts = dataset->counts(part);
    report.emplace_back(label, fmt::format("{} tokens, {} documents, {} bytes", counts.tokens,
                                           counts.documents, counts.text_bytes));
  }
  report.emplace_back("cache", dataset->from_cache() ? "used" : "written");
  if (!text.empty()) {
    const auto tokens = dataset->tokenizer().encode(text);
    if (!tokens) return tokens.status();
    report.emplace_back("encoded", fmt::format("{}", fmt::join(*tokens, " ")));
  }
  return report;
}

}  // namespace gradstab::lab
