#include "lab/forecast/forecast_kind.hpp"

#include <fmt/format.h>

#include "lab/forecast/forecast_data.hpp"
#include "lab/forecast/forecast_recipes.hpp"
#include "lab/forecast/forecast_settings.hpp"
#include "lab/forecast/forecast_time.hpp"

namespace gradstab::lab::forecast {
namespace {

class ForecastKind final : public TaskKind {
 public:
  std::string_view name() const noexcept override { return "forecast"; }
  std::string_view summary() const noexcept override { return "forecast a time series with PatchTST"; }
  bool has_epochs() const noexcept override { return true; }
  std::string_view example() const noexcept override { return "--recipe cpu --transform stabilize"; }
  const char* batch_help() const noexcept override { return "windows per micro-batch"; }

  TaskInfo info() const override {
    TaskInfo info;
    info.name = name();
    info.sample = "windows";
    info.held_out = "on later times";
    info.loss_unit = "squared standard deviations";
    info.metrics = {
        {.key = "mse",
         .title = "MSE",
         .noun = "MSE",
         .unit = "squared standard deviations",
         .better = Better::lower,
         .digits = 5,
         .meaning = "The mean squared error over all values of all windows, each channel divided by "
                    "its standard deviation in the training part."},
        {.key = "mae",
         .title = "MAE",
         .noun = "MAE",
         .unit = "standard deviations",
         .better = Better::lower,
         .digits = 5,
         .meaning = "The mean absolute error on the same scale."}};
    return info;
  }

  void set_defaults(TrainOptions& options) const override {
    options.task = TaskSettings(ForecastSettings());
    options.lr = 1e-4;
    options.batch = 128;
    options.warmup = 0;
  }
  std::vector<Recipe> recipes() const override { return forecast_recipes(); }
  Status validate(const TrainOptions& options) const override { return validate_forecast(options); }

  std::string model_name(const TrainOptions& options) const override {
    const ForecastSettings& settings = forecast_settings(options);
    return fmt::format("patchtst-{}to{}", settings.look_back, settings.horizon);
  }
  std::string update_text(const TrainOptions& options) const override {
    const ForecastSettings& settings = forecast_settings(options);
    return fmt::format("{} windows of {} steps, PatchTST of {} layers, {} wide",
                       options.batch * options.accumulation, settings.look_back, settings.layers,
                       settings.width);
  }
  ModelSize model_size(const TrainOptions& options) const override {
    // How many channels there are is known with the data. Of each patch a layer leaves queries, keys, values,
    // the inputs of its linear layers and norms.
    const ForecastSettings& settings = forecast_settings(options);
    const PatchTstConfig config = patch_tst_config(settings, 1);
    return {static_cast<double>(config.parameter_count()),
            static_cast<double>(options.batch) * static_cast<double>(config.patches()) *
                static_cast<double>(config.layers) * (8.0 * static_cast<double>(config.width))};
  }
  std::optional<double> core_seconds(const TrainOptions& options) const override {
    return forecast_core_seconds(options);
  }
  std::optional<double> device_seconds(const TrainOptions&, int) const override { return {}; }

  std::vector<std::string_view> data_settings() const override { return {"data", "look_back", "horizon"}; }
  std::string_view data_example() const noexcept override { return "hours.csv --look-back 48 --horizon 12"; }
  std::optional<DataQuestion> data_question() const override { return {}; }
  Result<DataReport> describe_data(const TrainOptions& options, const std::string&,
                                   const PreparationProgress&) const override {
    const auto data = read_forecast_data(forecast_settings(options));
    if (!data) return data.status();
    return data_report(**data);
  }
  std::string_view data_of_the_paper() const noexcept override {
    return "the series that the paper trained on: --data weather.csv";
  }
};

}  // namespace

const TaskKind& forecast_kind() {
  static const ForecastKind kind;
  return kind;
}

}  // namespace gradstab::lab::forecast
