#include "lab/inspect/readers/run_facts.hpp"

#include <fmt/format.h>

#include "lab/run/run_directory.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::inspect {
namespace {

bool has_beta2(std::string_view optimizer) {
  return optimizer.find("adam") != std::string_view::npos || optimizer.find("spam") != std::string_view::npos;
}

}  // namespace

void add_facts_of_run(const std::filesystem::path& directory, TraceFacts& facts) {
  const auto run = read_run_json(directory);
  if (!run) {
    facts.notes.push_back(fmt::format("Its run.json says nothing: {}.", run.status().message()));
    return;
  }
  const JsonReader settings = JsonReader(*run, "run.json")["settings"];
  facts.optimizer = settings["optimizer"].text_or("");
  if (has_beta2(facts.optimizer) && settings["beta2"].exists()) facts.beta2 = settings["beta2"].number();
  facts.transform = settings["transform"].text_or("");
  facts.clipping = "before the transform, as this program records it";
}

void add_facts_of_arguments(std::string_view json, TraceFacts& facts) {
  const auto arguments = parse_json_object(json, "");
  if (!arguments) return;
  if (const auto limit = as_number(arguments->value("max_grad_norm", Json()))) facts.clip_at = *limit;
  facts.optimizer = as_text(arguments->value("optim", Json())).value_or("");
  if (has_beta2(facts.optimizer)) facts.beta2 = as_number(arguments->value("adam_beta2", Json()));
  facts.clipping = "before clipping, as Hugging Face's Trainer logs it";
}

}  // namespace gradstab::lab::inspect
