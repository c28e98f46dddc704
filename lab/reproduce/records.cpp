#include "lab/reproduce/records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>

#include "lab/report/common_data.hpp"
#include "lab/run/formats.hpp"
#include "lab/support/files.hpp"
#include "lab/tasks.hpp"

namespace gradstab::lab {
namespace {

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
  const Json defaults = to_json(default_options(*options.kind));
  Json changed = Json::object();
  const Json all = to_json(options);
  for (const auto& [key, value] : all.items())
    if (value != defaults.at(key)) changed[key] = value;
  return changed;
}

void copy_figures(const RunRecord& record, ItemRun& run) {
  const RunSummary& summary = *record.summary;
  run.diverged = summary.diverged;
  run.score = summary.score();
  run.uninformed = record.measures.uninformed;
  for (std::size_t i = 1; i < record.measures.metrics.size(); ++i)
    if (!record.measures.metrics[i].exp_of_score) run.others.push_back(summary.final[i]);
  run.seconds = summary.seconds;
  run.evaluations = record.evaluations;
  for (const StepPoint& point : record.steps) {
    run.training_loss.push_back(point.loss);
    run.grad_norm.push_back(point.grad_norm);
    run.stabilized_norm.push_back(point.stabilized_norm);
  }
}

/// The places of the metrics that are recorded: those that are measured.
std::vector<std::size_t> recorded_metrics(const TaskInfo& measures) {
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < measures.metrics.size(); ++i)
    if (!measures.metrics[i].exp_of_score) places.push_back(i);
  return places;
}

Json to_json(const ItemRun& run, const TaskInfo& measures) {
  Json coordinates = Json::object();
  for (const auto& [key, value] : run.coordinates) coordinates[key] = value;
  const auto places = recorded_metrics(measures);
  // One more than tables show.
  const int digits = std::max(5, measures.score().digits + 1);
  Json evaluations = Json::object({{"step", Json::array()}});
  for (const std::size_t place : places) evaluations[measures.metrics[place].key] = Json::array();
  for (const EvalPoint& point : run.evaluations) {
    evaluations["step"].push_back(point.step);
    for (const std::size_t place : places) {
      const double value = place < point.values.size() ? point.values[place] : kNoValue;
      evaluations[measures.metrics[place].key].push_back(rounded(value, digits, 'f'));
    }
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
          {"score", rounded(run.score, digits, 'f')},
          {"uninformed", rounded(run.uninformed, digits, 'f')},
          {"others", rounded(run.others, digits, 'f')},
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

/// `keys` are what the recorded metrics are called there.
std::vector<EvalPoint> evaluations_from_json(const JsonReader& json, const TaskInfo& measures,
                                             const std::vector<std::string>& keys) {
  const JsonReader steps = json["step"];
  std::vector<std::vector<double>> columns;
  for (const std::string& key : keys) {
    columns.push_back(json[key].numbers());
    if (columns.back().size() != steps.size())
      json[key].refuse(fmt::format("a list of {} numbers, as many as evaluations.step", steps.size()));
  }
  std::vector<EvalPoint> evaluations;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EvalPoint point;
    point.step = steps.item(i).whole(0);
    std::vector<double> measured;
    measured.reserve(columns.size());
    for (const auto& column : columns) measured.push_back(i < column.size() ? column[i] : kNoValue);
    point.values = with_derived(measures, measured);
    evaluations.push_back(point);
  }
  return evaluations;
}

/// What the header says that all lines need.
struct Header {
  std::int64_t format = kRecordsFormat;
  const TaskKind* kind = nullptr;
  TaskInfo measures;
  std::optional<std::int64_t> runs;  ///< how many follow
};

/// The figures whose names depend on the format.
void read_scores(const JsonReader& json, const Header& header, ItemRun& run) {
  const bool first = header.format == kOldestRecordsFormat;
  run.score = json[first ? "final_loss" : "score"].number_or_nan();
  run.uninformed = json[first ? "uninformed_loss" : "uninformed"].number_or_nan();
  if (!first) run.others = json["others"].numbers();
  run.better = header.measures.score().better;
  run.loss_spike = header.measures.loss_spike;
  std::vector<std::string> keys;
  for (const std::size_t place : recorded_metrics(header.measures))
    keys.push_back(first ? "loss" : header.measures.metrics[place].key);
  run.evaluations = evaluations_from_json(json["evaluations"], header.measures, keys);
}

Result<ItemRun> run_from_json(const Json& line, const Header& header, const std::string& name) {
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
  read_scores(json, header, run);
  run.seconds = json["seconds"].number_or_nan();
  run.weights_checksum = json["weights_checksum"].text();
  run.training_loss = json["training_loss"].numbers();
  run.grad_norm = one_per_update(json["grad_norm"], run.training_loss.size());
  run.stabilized_norm = one_per_update(json["stabilized_norm"], run.training_loss.size());
  auto options = train_options_from_json(*header.kind, json["settings"]);
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (!options) return Status(options.status().code(), name + ": " + options.status().message());
  run.options = *std::move(options);
  return run;
}

}  // namespace

double ItemRun::judged_score() const {
  if (state == "pending") return kNoValue;
  if (state != "finished" || !std::isfinite(score)) return uninformed;
  if (better == Better::lower) return std::min(score, uninformed);
  return std::max(score, uninformed);
}

double ItemRun::judged_cost() const {
  return better == Better::lower ? judged_score() : -judged_score();
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
  records.looks = plan.looks;
  const auto kind = task_named(plan.task);
  if (!kind) return kind.status();
  records.measures = (*kind)->info();
  double uninformed = kNoValue;
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
    copy_figures(*record, run);
    records.measures = record->measures;
    RunRecord& kept = finished.emplace_back();
    kept.name = run.name;
    kept.task = record->task;
    kept.settings = record->settings;
    kept.data = record->data;
    run.weights_checksum = as_text(results[i].summary.value("weights_checksum", Json())).value_or("");
    uninformed = run.uninformed;
    if (!records.environment.is_null()) continue;
    records.environment = record->environment;
    records.data = record->data;
  }
  GRADSTAB_RETURN_IF_ERROR(check_common_data(finished));
  // A run that failed has no model to take it from.
  for (ItemRun& run : records.runs)
    if (run.state == "failed") run.uninformed = uninformed;
  // What is judged is what is kept, rounding included: so everybody comes to the same verdicts.
  return records_from_json_lines(to_json_lines(records));
}

std::string to_json_lines(const Records& records) {
  Json header = {{"format", kRecordsFormat},
                 {"kind", "reproduction"},
                 {"item", records.item},
                 {"scale", records.scale},
                 {"measures", to_json(records.measures)},
                 {"environment", records.environment},
                 {"data", records.data},
                 {"runs", records.runs.size()}};
  if (!records.looks.empty()) header["looks"] = records.looks;
  std::string text = header.dump() + "\n";
  for (const ItemRun& run : records.runs) text += to_json(run, records.measures).dump() + "\n";
  return text;
}

namespace {

std::vector<int> looks_from_json(const JsonReader& list) {
  std::vector<int> looks;
  int least = 2;
  for (std::size_t i = 0; i < list.size(); ++i) {
    looks.push_back(static_cast<int>(list.item(i).whole(least, 1'000'000)));
    least = looks.back() + 1;
  }
  return looks;
}

/// Into `records`, and what the lines need. Errors begin with the name of the line.
Result<Header> read_header(const Json& line, const std::string& name, Records& records) {
  const auto format = as_whole(line.value("format", Json()));
  if (line.value("kind", Json()) != "reproduction" || !format || *format < kOldestRecordsFormat ||
      *format > kRecordsFormat) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("{}: expected the header of a reproduction, format {} or {}", name,
                              kOldestRecordsFormat, kRecordsFormat));
  }
  const JsonReader json(line, name);
  records.item = json["item"].text();
  records.scale = json["scale"].text();
  // Null without a run that has finished.
  if (json["environment"].exists()) records.environment = json["environment"].object();
  if (json["data"].exists()) records.data = json["data"].object();
  records.measures = *format == kOldestRecordsFormat ? measures_of_format_1(kNoValue)
                                                     : task_info_from_json(json["measures"]);
  if (json["looks"].exists()) records.looks = looks_from_json(json["looks"]);
  std::optional<std::int64_t> runs;
  if (json["runs"].exists()) runs = json["runs"].whole(0);
  GRADSTAB_RETURN_IF_ERROR(json.status());
  const auto kind = task_named(records.measures.name);
  if (!kind)
    return Status(kind.status().code(), fmt::format("{}: measures.task: {}", name, kind.status().message()));
  return Header{*format, *kind, records.measures, runs};
}

}  // namespace

Result<Records> records_from_json_lines(const std::string& text) {
  Records records;
  Header header;
  std::istringstream lines(text);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string name = fmt::format("line {}", number);
    const auto json = parse_json_object(line, "");
    if (!json) {
      return Status(StatusCode::corrupt_data,
                    fmt::format("{}: expected a JSON object; the file may be cut off ({})", name,
                                json.status().message()));
    }
    if (number == 1) {
      auto read = read_header(*json, name, records);
      if (!read) return read.status();
      header = *std::move(read);
      continue;
    }
    auto run = run_from_json(*json, header, name);
    if (!run) return run.status();
    // As the run knew it, which has the data.
    if (std::isnan(records.measures.uninformed)) records.measures.uninformed = run->uninformed;
    records.runs.push_back(*std::move(run));
  }
  if (number == 0) return Status(StatusCode::corrupt_data, "no lines");
  // Older versions did not say how many there are.
  if (header.runs && *header.runs != static_cast<std::int64_t>(records.runs.size())) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("{} runs, where the header says {}; the file may be cut off",
                              records.runs.size(), *header.runs));
  }
  return records;
}

}  // namespace gradstab::lab
