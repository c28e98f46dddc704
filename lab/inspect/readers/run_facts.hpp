// What a run's own files say of it beside its records.
#pragma once

#include <filesystem>
#include <string_view>

#include "lab/inspect/trace.hpp"

namespace gradstab::lab::inspect {

/// Of a run of this program: optimizer, beta2 and transform by its run.json.
void add_facts_of_run(const std::filesystem::path& directory, TraceFacts& facts);

/// Of Hugging Face's TrainingArguments, a JSON object with max_grad_norm, adam_beta2 and optim. Anything else
/// says nothing.
void add_facts_of_arguments(std::string_view json, TraceFacts& facts);

}  // namespace gradstab::lab::inspect
