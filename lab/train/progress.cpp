#include "lab/train/progress.hpp"

#include <cmath>

namespace gradstab::lab {
namespace {

using Json = nlohmann::ordered_json;

double number(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

nlohmann::ordered_json to_json(const Progress& progress) {
  return {{"step", progress.step},
          {"tokens", progress.tokens},
          {"seconds", progress.seconds},
          {"spikes", progress.spikes},
          {"nonfinite", progress.nonfinite},
          {"validation_loss", number(progress.validation_loss)},
          {"best_validation_loss", number(progress.best_validation_loss)}};
}

Progress progress_from_json(const nlohmann::ordered_json& json) {
  Progress progress;
  json.at("step").get_to(progress.step);
  json.at("tokens").get_to(progress.tokens);
  json.at("seconds").get_to(progress.seconds);
  json.at("spikes").get_to(progress.spikes);
  json.at("nonfinite").get_to(progress.nonfinite);
  progress.validation_loss = number(json.at("validation_loss"));
  progress.best_validation_loss = number(json.at("best_validation_loss"));
  return progress;
}

}  // namespace gradstab::lab
