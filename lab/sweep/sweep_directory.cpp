#include "lab/sweep/sweep_directory.hpp"

#include <fmt/format.h>

#include <utility>

#include "lab/run/formats.hpp"
#include "lab/run/metrics_reader.hpp"
#include "lab/support/files.hpp"
#include "lab/support/new_file.hpp"
#include "lab/tasks.hpp"

namespace gradstab::lab {
namespace {

constexpr const char* kCheckpointName = "checkpoint.gsck";

/// "with lr 0.01, not 0.001"
std::string first_difference(const Json& ours, const Json& theirs) {
  for (const auto& [key, value] : ours.items()) {
    const Json found = theirs.value(key, Json());
    if (found == value) continue;
    if (value.is_object() && found.is_object() && key == "settings") {
      for (const auto& [name, setting] : value.items()) {
        const Json other = found.value(name, Json());
        if (other != setting) return fmt::format("with {} {}, not {}", name, shown(other), shown(setting));
      }
    }
    return fmt::format("{} {}, not {}", key, shown(found), shown(value));
  }
  for (const auto& [key, value] : theirs.items())
    if (!ours.contains(key)) return fmt::format("with {} {}", key, shown(value));
  return "of another version";
}

/// A sweep that is older than a setting did not write it; its runs had the default. Older words become
/// today's.
Json with_defaults(Json found, const Json& sweep) {
  if (!found.is_object() || !found.contains("settings") || !found["settings"].is_object()) return found;
  found["settings"] = in_words_of_today(std::move(found["settings"]));
  const TaskKind* const kind = find_task(as_text(found.value("task", Json())).value_or(kTaskOfFormat1));
  if (kind == nullptr) return found;
  const Json defaults = to_json(default_options(*kind));
  for (const auto& [key, value] : sweep.at("settings").items())
    if (!found["settings"].contains(key) && defaults.contains(key)) found["settings"][key] = defaults.at(key);
  return found;
}

/// Whether the path holds something that is no sweep. One that was killed at once has left what is made
/// before its description.
bool is_strange(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error) || std::filesystem::exists(path / "sweep.json", error))
    return false;
  auto entry = std::filesystem::directory_iterator(path, error);
  if (error) return true;
  for (; entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != kLockFile && name != "logs" && !name.starts_with("sweep.json.tmp")) return true;
  }
  return false;
}

Status check_or_begin(const std::filesystem::path& path, const Json& sweep) {
  const std::filesystem::path file = path / "sweep.json";
  if (!std::filesystem::exists(file)) return write_file_atomically(file, sweep.dump(2) + "\n");
  const auto text = read_file(file, kDescriptionFile);
  if (!text) return text.status();
  const auto read = parse_json_object(*text, file.string());
  if (!read) {
    return {StatusCode::corrupt_data, fmt::format("'{}' is not the description of a sweep: {}", file.string(),
                                                  read.status().message())};
  }
  const Json found = with_defaults(*read, sweep);
  // Unlike Json, this type does not mind the order of keys.
  if (nlohmann::json(found) == nlohmann::json(sweep)) return {};
  return {StatusCode::failed_precondition,
          fmt::format("'{}' holds another sweep, {}; choose another --output", path.string(),
                      first_difference(sweep, found))};
}

}  // namespace

Json describe_sweep(const TrainOptions& base, const std::vector<SweepAxis>& axes) {
  Json over = Json::object();
  for (const SweepAxis& axis : axes) over[axis.key] = axis.values;
  Json settings = to_json(base);
  settings.erase("threads");
  for (const SweepAxis& axis : axes) settings.erase(axis.key);
  return {
      {"format", 1}, {"kind", "sweep"}, {"task", base.kind->name()}, {"over", over}, {"settings", settings}};
}

Result<SweepDirectory> SweepDirectory::open(const std::filesystem::path& path, const Json& description) {
  if (path.empty()) return Status(StatusCode::invalid_argument, "the folder of a sweep must have a name");
  if (is_strange(path)) {
    return Status(StatusCode::failed_precondition,
                  fmt::format("'{}' exists and is not a sweep; choose another --output", path.string()));
  }
  std::error_code error;
  std::filesystem::create_directories(path / "logs", error);
  if (error) return io_error("create", path, error.value());
  auto lock = FolderLock::acquire(
      path, FolderLock::HeldBy::and_what_it_starts,
      fmt::format("a sweep is at work in '{}', or a run of one is still ending", path.string()));
  if (!lock) return lock.status();
  remove_abandoned_files(path);
  SweepDirectory directory(path, *std::move(lock));
  GRADSTAB_RETURN_IF_ERROR(check_or_begin(path, description));
  return directory;
}

RunProgress SweepDirectory::state_of(const SweepPoint& point) const {
  const std::filesystem::path run = run_path(point);
  RunProgress state;
  state.steps = point.options.steps;
  std::error_code ignored;
  if (!std::filesystem::exists(run, ignored)) return state;
  if (point.options.epochs > 0) {
    const auto description = read_json_object(run / "run.json");
    if (description) state.steps = as_whole(description->value("updates", Json())).value_or(state.steps);
  }
  state.kind = std::filesystem::exists(run / kCheckpointName, ignored) ? RunProgress::Kind::resumable
                                                                       : RunProgress::Kind::begun;
  if (const auto text = read_file(run / "summary.json", kDescriptionFile)) {
    auto summary = parse_json_object(*text, "");
    if (summary && summary->value("state", Json()) == "finished") {
      state.kind = RunProgress::Kind::finished;
      state.step = as_whole(summary->value("step", Json())).value_or(state.steps);
      state.steps = state.step;
      state.summary = *std::move(summary);
      return state;
    }
  }
  state.step = as_whole(last_metrics_line(run / kMetricsName).value("step", Json())).value_or(0);
  return state;
}

void SweepDirectory::drop_checkpoint(const SweepPoint& point) const {
  std::error_code ignored;
  if (state_of(point).kind == RunProgress::Kind::finished)
    std::filesystem::remove(run_path(point) / kCheckpointName, ignored);
}

Status SweepDirectory::write_results(const Json& results) const {
  return write_file_atomically(path_ / "results.json", results.dump(2) + "\n");
}

}  // namespace gradstab::lab
