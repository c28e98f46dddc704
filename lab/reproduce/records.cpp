#include "lab/reproduce/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;

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

double number_of(const Json& value) {
  return value.is_number() ? value.get<double>() : kNoValue;
}

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> values;
  for (const Json& value : list) values.push_back(number_of(value));
  return values;
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
  run.uninformed_loss = std::log(record.model.value("vocab_size", 0.0));
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

ItemRun run_from_json(const Json& json) {
  ItemRun run;
  run.name = json.at("run");
  run.part = json.at("part");
  run.horizon = json.at("horizon");
  run.arm = json.at("method");
  for (const auto& [key, value] : json.at("context").items()) run.coordinates.emplace_back(key, value);
  run.seed = json.at("seed");
  run.state = json.at("state");
  run.error = json.at("error");
  Json settings = lab::to_json(TrainOptions());
  settings.update(json.at("settings"));
  run.options = train_options_from_json(settings).value();
  run.diverged = json.at("diverged");
  run.final_loss = number_of(json.at("final_loss"));
  run.uninformed_loss = number_of(json.at("uninformed_loss"));
  run.seconds = number_of(json.at("seconds"));
  run.weights_checksum = json.at("weights_checksum");
  const Json& evaluations = json.at("evaluations");
  for (std::size_t i = 0; i < evaluations.at("step").size(); ++i) {
    EvalPoint point;
    point.step = evaluations.at("step").at(i);
    point.loss = number_of(evaluations.at("loss").at(i));
    run.evaluations.push_back(point);
  }
  run.training_loss = numbers_of(json.at("training_loss"));
  run.grad_norm = numbers_of(json.at("grad_norm"));
  run.stabilized_norm = numbers_of(json.at("stabilized_norm"));
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
    run.weights_checksum = results[i].summary.value("weights_checksum", "");
    uninformed_loss = run.uninformed_loss;
    if (!records.environment.is_null()) continue;
    records.environment = record->environment;
    records.data = record->data;
  }
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
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) return wrong("expected a JSON object; the file may be cut off");
    try {
      if (number > 1) {
        records.runs.push_back(run_from_json(json));
        continue;
      }
      if (json.value("kind", "") != "reproduction" || json.value("format", 0) != kFormat)
        return wrong("expected the header of a reproduction, format 1");
      records.item = json.at("item");
      records.scale = json.at("scale");
      records.environment = json.at("environment");
      records.data = json.at("data");
    } catch (const Error& error) {
      return wrong(error.what());
    } catch (const Json::exception&) {
      return wrong("expected the record of a run, with all of its fields");
    }
  }
  if (number == 0) return Status(StatusCode::corrupt_data, "no lines");
  return records;
}

}  // namespace gradstab::lab
