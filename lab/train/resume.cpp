#include "lab/train/resume.hpp"

#include <fmt/format.h>

#include <utility>

namespace gradstab::lab {
Result<ResumedProgress> resumed_progress(const Json& header, const std::filesystem::path& path,
                                         const TrainOptions& options, const TaskInfo& info, const Json& model,
                                         std::int64_t steps) {
  const std::string name = fmt::format("checkpoint '{}'", path.string());
  const auto mismatch = [&](const char* has, const Json& expected, const Json& found) {
    return Status(StatusCode::shape_mismatch,
                  fmt::format("{} {}: {}, expected {}", name, has, shown(found), shown(expected)));
  };
  if (const Json found = header.value("model", Json()); found != model)
    return mismatch("is of another model", model, found);
  const JsonReader json(header, name);
  const Json& settings = json["settings"].object();
  if (json.status().ok() && !are_settings_of(options, settings))
    return Status(StatusCode::shape_mismatch,
                  fmt::format("{} has other settings: {}", name, differences(settings, to_json(options))));
  ResumedProgress resumed;
  resumed.progress = progress_from_json(json["progress"], info, steps);
  GRADSTAB_RETURN_IF_ERROR(json.status());
  if (needs_loss_scaling(options.number_format())) {
    resumed.loss_scaler.emplace(loss_scaler_options(options));
    GRADSTAB_RETURN_IF_ERROR(resumed.loss_scaler->restore(json["loss_scaler"]));
  }
  return resumed;
}

Status check_same_data(const Json& began, const Json& now, const std::filesystem::path& directory,
                       const std::function<void(const std::string&)>& on_note) {
  if (!now.is_object() || !began.is_object()) return {};
  for (const auto& [key, value] : now.items()) {
    if (key == "source" || !began.contains(key) || began[key] == value) continue;
    return {StatusCode::failed_precondition,
            fmt::format("'{}' was trained on other data: its {} was {} and is {} now; a run must "
                        "be resumed with the data that it began with",
                        directory.string(), key, shown(began[key]), shown(value))};
  }
  if (!began.contains("sha256") && now.contains("sha256") && on_note) {
    on_note(fmt::format(
        "'{}' was begun by a version that did not record the SHA-256 of its data; there are as many "
        "as before, but gradstab cannot check whether they are the same",
        directory.string()));
  }
  return {};
}

}  // namespace gradstab::lab
