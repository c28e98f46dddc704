// The readers prepare no text.
#include "lab/llm/llm_data_report.hpp"

namespace gradstab::lab {

Result<DataReport> llm_data_report(const DatasetOptions&, const std::string&, const PreparationProgress&) {
  return Status(StatusCode::unsupported, "the fuzzers prepare no text");
}

}  // namespace gradstab::lab
