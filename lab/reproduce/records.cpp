#include "lab/reproduce/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr int kFormat = 1;

/// `value` with so many digits after the point ('f') or in all ('g').
Json rounded(double value, int digits, char style) {
  if (!std::isfinite(value)) return nullptr;
  const std::string text =
      style == 'f' ? fmt::format("{:.{}f}", value, digits) : fmt::format("{:.{}g}", value, digits);
  return std::strtod(text.c_str(), nullptr);
}

Json rounded(const std::vector<double>& values, int digits, char style) {
  Json list = Json::array();
  for (const double value : values) list.push_back(rounded(value, digits, style));
  return list;
}

/// The settings that are not the defaults.
Json changed_settings(const TrainOptions& options) {
  const Json defaults = to_json(TrainOptions());
  Json changed = Json::object();
  const Json all = to_json(options);
  for (const auto& [key, value] : all.items())
    if (value != defaults.at(key)) changed[key] = value;
  return changed;
}

void take_figures(const RunRecord& record, ItemRun& run) {
  const RunSummary& summary = *record.summary;
  run.diverged = summary.diverged;
  run.final_loss = summary.final_validation_loss;
  run.seconds = summary.seconds;
  run.evaluations = record.evaluations;
  for (const StepPoint& point : record.steps) {
    run.training_loss.push_back(point.loss);
    run.grad_norm.push_back(point.grad_norm);
    run.stabilized_norm.push_back(point.stabilized_norm);
  }
  const auto vocab_size = as_number(record.model.value("vocab_size", nlohmann::json()));
  run.uninformed_loss = vocab_size ? std::log(*vocab_size) : kNoValue;
}

Json to_json(const ItemRun& run) {
  Json coordinates = Json::object();
  for (const auto& [key, value] : run.coordinates) coordinates[key] = value;
  Json evaluations = Json::object({{"step", Json::array()}, {"loss", Json::array()}});
  for (const EvalPoint& point : run.evaluations) {
    evaluations["step"].push_back(point.step);
    evaluations["loss"].push_back(rounded(point.loss, 5, 'f'));
  }
  return {{"run", run.name},
          {"part", run.part},
          {"horizon", run.horizon},
          {"method", run.arm},
          {"context", coordinates},
          {"seed", run.seed},
          {"state", run.state},
          {"error", run.error},
          {"settings", changed_settings(run.options)},
          {"diverged", run.diverged},
          {"final_loss", rounded(run.final_loss, 5, 'f')},
          {"uninformed_loss", rounded(run.uninformed_loss, 5, 'f')},
          {"seconds", rounded(run.seconds, 1, 'f')},
          {"weights_checksum", run.weights_checksum},
          {"evaluations", evaluations},
          {"training_loss", rounded(run.training_loss, 4, 'f')},
          {"grad_norm", rounded(run.grad_norm, 4, 'g')},
          {"stabilized_norm", rounded(run.stabilized_norm, 4, 'g')}};
}

/// As many numbers as there are losses; measures and charts go through them together.
std::vector<double> one_per_update(const JsonReader& list, std::size_t updates) {
  std::vector<double> values = list.numbers();
  if (values.size() != updates)
    list.refuse(fmt::format("a list of {} numbers, as many as training_loss", updates));
  return values;
}

std::vector<EvalPoint> evaluations_from_json(const JsonReader& json) {
  const JsonReader steps = json["step"];
  const std::vector<double> losses = json["loss"].numbers();
  if (losses.size() != steps.size())
    json["loss"].refuse(fmt::format("a list of {} numbers, as many as evaluations.step", steps.size()));
  std::vector<EvalPoint> evaluations;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EvalPoint point;
    point.step = steps.item(i).whole(0);
    point.loss = losses[i];
    evaluations.push_back(point);
  }
  return evaluations;
}

Result<ItemRun> run_from_json(const Json& line, const std::string& name) {
  const JsonReader json(line, name);
  ItemRun run;
  run.name = json["run"].text();
  run.part = json["part"].text();
  run.horizon = json["horizon"].text();
  run.arm = json["method"].text();
  for (const std::string& key : json["context"].keys())
    run.coordinates.emplace_back(key, json["context"][key].text());
  json["seed"].read(run.seed);
  run.state = json["state"].text();
  if (run.state != "finished" && run.state != "failed" && run.state != "pending")
    json["state"].refuse("\"finished\", \"failed\" or \"pending\"");
  run.error = json["error"].text();
  run.diverged = json["diverged"].truth();
  run.final_loss = json["final_loss"].number_or_nan();
  run.uninformed_loss = json["uninformed_loss"].number_or_nan();
  run.seconds = json["seconds"].number_or_nan();
  run.weights_checksum = json["weights_checksum"].text();
  run.evaluations = evaluations_from_json(json["evaluations"]);
  run.training_loss = json["training_loss"].numbers();
  run.grad_norm = one_per_update(json["grad_norm"], run.training_loss.size());
  run.stabilized_norm = one_per_update(json["stabilized_norm"], run.training_loss.size());
  auto options = train_options_from_json(json["settings"]);
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (!options) return Status(options.status().code(), name + ": " + options.status().message());
  run.options = *std::move(options);
  return run;
}

}  // namespace

double ItemRun::judged_loss() const {
  if (state == "pending") return kNoValue;
  const bool known = state == "finished" && std::isfinite(final_loss);
  return known ? std::min(final_loss, uninformed_loss) : uninformed_loss;
}

std::size_t Records::finished() const {
  return static_cast<std::size_t>(std::ranges::count(runs, "finished", &ItemRun::state));
}

Result<Records> collect_records(const std::string& item, Scale scale, const Plan& plan,
                                const std::vector<PlannedRun>& planned,
                                const std::vector<SweepResult>& results, const SweepDirectory& directory) {
  Records records;
  records.item = item;
  records.scale = to_string(scale);
  double uninformed_loss = kNoValue;
  std::vector<RunRecord> finished;  // without their curves
  for (std::size_t i = 0; i < planned.size(); ++i) {
    const Part& part = plan.parts[planned[i].part];
    ItemRun& run = records.runs.emplace_back();
    run.name = planned[i].point.name;
    run.part = part.name;
    run.horizon = part.horizon;
    run.arm = part.arms[planned[i].arm].name;
    run.coordinates = part.contexts[planned[i].context].coordinates;
    run.seed = planned[i].seed;
    run.options = planned[i].point.options;
    run.state = to_string(results[i].state);
    run.error = results[i].error;
    if (results[i].state != SweepResult::State::finished) continue;
    const auto record = read_run(directory.run_path(planned[i].point));
    if (!record) return record.status();
    if (!are_settings_of(run.options, record->settings)) {
      return Status(
          StatusCode::failed_precondition,
          fmt::format("run '{}' was made with other settings than '{}' has in this version; choose another "
                      "--output",
                      run.name, item));
    }
    take_figures(*record, run);
    RunRecord& kept = finished.emplace_back();
    kept.name = run.name;
    kept.settings = record->settings;
    kept.data = record->data;
    run.weights_checksum = as_text(results[i].summary.value("weights_checksum", Json())).value_or("");
    uninformed_loss = run.uninformed_loss;
    if (!records.environment.is_null()) continue;
    records.environment = record->environment;
    records.data = record->data;
  }
  GRADSTAB_RETURN_IF_ERROR(check_common_data(finished));
  // A run that failed has no model to take it from.
  for (ItemRun& run : records.runs)
    if (run.state == "failed") run.uninformed_loss = uninformed_loss;
  // What is judged is what is kept, rounding included: so everybody comes to the same verdicts.
  return records_from_json_lines(to_json_lines(records));
}

std::string to_json_lines(const Records& records) {
  const Json header = {{"format", kFormat},
                       {"kind", "reproduction"},
                       {"item", records.item},
                       {"scale", records.scale},
                       {"environment", records.environment},
                       {"data", records.data}};
  std::string text = header.dump() + "\n";
  for (const ItemRun& run : records.runs) text += to_json(run).dump() + "\n";
  return text;
}

Result<Records> records_from_json_lines(const std::string& text) {
  Records records;
  std::istringstream lines(text);
  std::size_t number = 0;
  const auto wrong = [&](const std::string& what) {
    return Status(StatusCode::corrupt_data, fmt::format("line {}: {}", number, what));
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string name = fmt::format("line {}", number);
    const auto json = parse_json_object(line, "");
    if (!json)
      return wrong("expected a JSON object; the file may be cut off (" + json.status().message() + ")");
    if (number > 1) {
      auto run = run_from_json(*json, name);
      if (!run) return run.status();
      records.runs.push_back(*std::move(run));
      continue;
    }
    if (json->value("kind", Json()) != "reproduction" || json->value("format", Json()) != kFormat)
      return wrong("expected the header of a reproduction, format 1");
    const JsonReader header(*json, name);
    records.item = header["item"].text();
    records.scale = header["scale"].text();
    // Null without a run that has finished.
    if (header["environment"].exists()) records.environment = header["environment"].object();
    if (header["data"].exists()) records.data = header["data"].object();
    GRADSTAB_RETURN_IF_ERROR(header.status());
  }
  if (number == 0) return Status(StatusCode::corrupt_data, "no lines");
  return records;
}

}  // namespace gradstab::lab
