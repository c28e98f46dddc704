#include "lab/run/progress.hpp"

#include <cmath>

namespace gradstab::lab {

Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

Json to_json(const Progress& progress) {
  return {{"step", progress.step},
          {"tokens", progress.tokens},
          {"seconds", progress.seconds},
          {"spikes", progress.spikes},
          {"nonfinite", progress.nonfinite},
          {"validation_loss", number(progress.validation_loss)},
          {"best_validation_loss", number(progress.best_validation_loss)}};
}

Progress progress_from_json(const JsonReader& json, std::int64_t steps) {
  Progress progress;
  progress.step = json["step"].whole(0, steps);
  progress.tokens = json["tokens"].whole(0);
  progress.seconds = json["seconds"].number();
  progress.spikes = json["spikes"].whole(0);
  progress.nonfinite = json["nonfinite"].whole(0);
  progress.validation_loss = json["validation_loss"].number_or_nan();
  progress.best_validation_loss = json["best_validation_loss"].number_or_nan();
  return progress;
}

}  // namespace gradstab::lab
