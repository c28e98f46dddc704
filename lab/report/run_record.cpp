#include "lab/report/run_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <system_error>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

constexpr std::int64_t kFormat = 1;

Status corrupt(const std::string& where, const std::string& what) {
  return {StatusCode::corrupt_data, where + ": " + what};
}

/// The parser's message without its "[json.exception...]" prefix, on one line.
std::string parser_reason(const json::exception& error) {
  std::string text = error.what();
  if (const auto end = text.find("] "); end != std::string::npos) text.erase(0, end + 2);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  constexpr std::size_t kLongest = 200;  // the parser quotes its input, which may be a whole foreign file
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

Result<json> parse_object(std::string_view text, const std::string& where) {
  json value;
  try {
    value = json::parse(text);
  } catch (const json::exception& error) {
    return corrupt(where, "expected a JSON object, but it does not parse: " + parser_reason(error));
  }
  if (!value.is_object()) {
    return corrupt(where, std::string("expected a JSON object, found ") + value.type_name());
  }
  return value;
}

/// Reads typed members of one object and keeps the first complaint, so that a caller checks once at the end.
class Members {
 public:
  Members(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  double number(const char* key) {
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return kNoValue;
    if (value->is_number()) return value->get<double>();
    complain(key, "a number or null", *value);
    return kNoValue;
  }

  std::int64_t step() {
    const json* value = find("step");
    if (value != nullptr && value->is_number_integer() && value->get<std::int64_t>() >= 0) {
      return value->get<std::int64_t>();
    }
    complain("step", "a non-negative integer", value == nullptr ? json("nothing") : *value);
    return 0;
  }

  std::string text(const char* key, const char* otherwise) {
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return otherwise;
    if (value->is_string()) return value->get<std::string>();
    complain(key, "a string", *value);
    return otherwise;
  }

  bool flag(const char* key) {
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return false;
    if (value->is_boolean()) return value->get<bool>();
    complain(key, "true or false", *value);
    return false;
  }

  json object(const char* key) {
    const json* value = find(key);
    if (value == nullptr || value->is_null()) return json::object();
    if (value->is_object()) return *value;
    complain(key, "an object", *value);
    return json::object();
  }

  Status status() const { return status_; }

 private:
  const json* find(const char* key) const {
    const auto member = object_.find(key);
    return member == object_.end() ? nullptr : &*member;
  }

  void complain(const char* key, const char* expected, const json& found) {
    if (!status_.ok()) return;
    std::string shown = found.dump(-1, ' ', false, json::error_handler_t::replace);
    if (shown.size() > 60) shown = shown.substr(0, 60) + "...";
    status_ = corrupt(where_, fmt::format("expected '{}' to be {}, found {}", key, expected, shown));
  }

  const json& object_;
  std::string where_;
  Status status_;
};

/// The object in `path` after its format number was checked.
Result<json> read_versioned(const std::filesystem::path& path) {
  Result<std::string> text = read_file(path, kDescriptionFile);
  if (!text) return text.status();
  Result<json> object = parse_object(*text, path.string());
  if (!object) return object;
  const auto format = object->find("format");
  if (format == object->end() || !format->is_number_integer()) {
    return corrupt(path.string(), "not written by gradstab: expected an integer 'format'");
  }
  if (format->get<std::int64_t>() != kFormat) {
    return Status(StatusCode::version_mismatch, fmt::format("{}: format {} is not known, expected {}",
                                                            path.string(), format->dump(), kFormat));
  }
  return object;
}

/// A line that goes back replaces what it goes back over, as a resumed run would have done.
template <class Point>
void append_in_order(std::vector<Point>& points, const Point& point, std::size_t line,
                     std::vector<std::string>& notes) {
  if (!points.empty() && points.back().step >= point.step) {
    notes.push_back(
        fmt::format("metrics.jsonl line {} goes back from step {} to step {}; the later lines are used.",
                    line, points.back().step, point.step));
    while (!points.empty() && points.back().step >= point.step) points.pop_back();
  }
  points.push_back(point);
}

Status add_metrics_line(const json& object, const std::string& where, std::size_t line, RunRecord& run) {
  Members members(object, where);
  const std::string kind = members.text("kind", "");
  GRADSTAB_RETURN_IF_ERROR(members.status());
  if (kind.empty()) return corrupt(where, "expected a 'kind' such as \"step\" or \"eval\"");
  if (kind == "step") {
    StepPoint point;
    point.step = members.step();
    point.loss = members.number("loss");
    point.learning_rate = members.number("lr");
    point.tokens = members.number("tokens");
    point.tokens_per_second = members.number("tokens_per_second");
    point.seconds = members.number("seconds");
    point.grad_norm = members.number("grad_norm");
    point.stabilized_norm = members.number("stabilized_norm");
    point.spikes = members.number("spikes");
    point.nonfinite = members.number("nonfinite");
    GRADSTAB_RETURN_IF_ERROR(members.status());
    append_in_order(run.steps, point, line, run.notes);
  } else if (kind == "eval") {
    EvalPoint point;
    point.step = members.step();
    point.loss = members.number("loss");
    point.perplexity = members.number("perplexity");
    GRADSTAB_RETURN_IF_ERROR(members.status());
    append_in_order(run.evaluations, point, line, run.notes);
  }
  return {};
}

Status read_metrics(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    run.notes.push_back("There is no metrics.jsonl yet.");
    return {};
  }
  Result<std::string> text = read_file(path, kMetricsFile);
  if (!text) return text.status();
  std::string_view rest = *text;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t end = rest.find('\n');
    const bool cut_off = end == std::string_view::npos;
    const std::string_view content = rest.substr(0, end);
    rest.remove_prefix(cut_off ? rest.size() : end + 1);
    if (content.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{} line {}", path.string(), line);
    Result<json> object = parse_object(content, where);
    if (!object && cut_off) {
      run.notes.push_back(fmt::format("metrics.jsonl line {}, the last, is cut off and was skipped.", line));
      return {};
    }
    if (!object) return object.status();
    GRADSTAB_RETURN_IF_ERROR(add_metrics_line(*object, where, line, run));
  }
  return {};
}

Status read_summary(const std::filesystem::path& path, RunRecord& run) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return {};
  Result<json> object = read_versioned(path);
  if (!object) return object.status();
  Members members(*object, path.string());
  RunSummary summary;
  summary.state = members.text("state", "");
  summary.step = members.step();
  summary.final_validation_loss = members.number("final_validation_loss");
  summary.final_perplexity = members.number("final_perplexity");
  summary.best_validation_loss = members.number("best_validation_loss");
  summary.spikes = members.number("spikes");
  summary.nonfinite = members.number("nonfinite");
  summary.diverged = members.flag("diverged");
  summary.seconds = members.number("seconds");
  summary.tokens_per_second = members.number("tokens_per_second");
  GRADSTAB_RETURN_IF_ERROR(members.status());
  if (summary.state != "finished" && summary.state != "interrupted") {
    return corrupt(path.string(), "expected 'state' to be \"finished\" or \"interrupted\", found " +
                                      json(summary.state).dump());
  }
  run.summary = summary;
  return {};
}

}  // namespace

std::vector<std::filesystem::path> run_directories(const std::filesystem::path& path) {
  std::error_code ignored;
  std::vector<std::filesystem::path> runs;
  if (!std::filesystem::exists(path / "run.json", ignored)) {
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored))
      if (std::filesystem::exists(entry.path() / "run.json", ignored)) runs.push_back(entry.path());
  }
  if (runs.empty()) return {path};
  std::ranges::sort(runs);
  return runs;
}

Result<RunRecord> read_run(const std::filesystem::path& directory) {
  std::error_code ignored;
  if (!std::filesystem::exists(directory, ignored)) {
    return Status(StatusCode::io_error, fmt::format("'{}' does not exist", directory.string()));
  }
  if (!std::filesystem::is_directory(directory, ignored)) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not a run directory: it is a file", directory.string()));
  }
  const std::filesystem::path run_file = directory / "run.json";
  if (!std::filesystem::exists(run_file, ignored)) {
    return Status(StatusCode::corrupt_data,
                  fmt::format("'{}' is not a run directory: it holds no run.json", directory.string()));
  }
  Result<json> object = read_versioned(run_file);
  if (!object) return object.status();

  RunRecord run;
  run.directory = directory;
  Members members(*object, run_file.string());
  run.name = members.text("name", "");
  run.task = members.text("task", "");
  run.command = members.text("command", "");
  run.settings = members.object("settings");
  run.model = members.object("model");
  run.data = members.object("data");
  run.environment = members.object("environment");
  GRADSTAB_RETURN_IF_ERROR(members.status());
  if (run.command.empty()) {
    Members settings(run.settings, run_file.string() + " settings");
    run.command = settings.text("command", "");
    GRADSTAB_RETURN_IF_ERROR(settings.status());
  }
  if (run.name.empty())
    run.name = std::filesystem::absolute(directory, ignored).lexically_normal().filename().string();
  GRADSTAB_RETURN_IF_ERROR(read_metrics(directory / "metrics.jsonl", run));
  GRADSTAB_RETURN_IF_ERROR(read_summary(directory / "summary.json", run));
  return run;
}

}  // namespace gradstab::lab
