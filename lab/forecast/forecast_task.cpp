#include "lab/forecast/forecast_task.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "lab/forecast/batches.hpp"
#include "lab/forecast/forecast_data.hpp"
#include "lab/forecast/forecast_exhibits.hpp"
#include "lab/forecast/forecast_kind.hpp"
#include "lab/forecast/forecast_settings.hpp"
#include "lab/forecast/linear_model.hpp"
#include "lab/forecast/patch_tst.hpp"
#include "lab/forecast/trivial_predictors.hpp"
#include "lab/support/arithmetic.hpp"
#include "lab/train/device.hpp"

namespace gradstab::lab::forecast {
namespace {

class ForecastTask final : public Task {
 public:
  ForecastTask(const TrainOptions& options, const torch::Device& device,
               std::unique_ptr<const ForecastData> data)
      : info_(forecast_kind().info()),
        device_(device),
        settings_(forecast_settings(options)),
        corruption_(corruption_of(settings_)),
        seed_(options.seed),
        batch_(options.batch),
        accumulation_(options.accumulation),
        data_(std::move(data)),
        order_(divided_up(data_->training.count(), settings_.window_stride), options.batch, options.seed,
               settings_.compat_drop_last),
        model_(patch_tst_config(settings_, data_->training.channels()), options.seed) {
    model_->to(device_);  // after the draws, so that all devices begin with the same weights
    linear_ = LinearModel::fit(data_->training).score(data_->test);
    info_.uninformed = score_window_mean(data_->test).mean_squared_error();
  }

  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return *model_; }
  std::int64_t updates_per_epoch() const noexcept override {
    return divided_up(order_.batches_per_epoch(), accumulation_);
  }

  torch::Tensor training_loss(std::uint64_t index) override {
    std::vector<std::int64_t> windows(static_cast<std::size_t>(order_.size(index)));
    order_.batch(index, windows);
    for (std::int64_t& window : windows) window *= settings_.window_stride;
    const Batch batch = gather(data_->training, windows);
    const nn::Draw draw{seed_, index};
    corrupt({batch.inputs.data_ptr<float>(), static_cast<std::size_t>(batch.inputs.numel())}, corruption_,
            data_->standard.training_maximum, draw);
    return torch::mse_loss(model_->forward(batch.inputs.to(device_), draw), batch.targets.to(device_));
  }

  std::int64_t samples(std::uint64_t index) const override { return order_.size(index); }

  Evaluation evaluate(Extent extent) override {
    const bool test = extent == Extent::test;
    const Windows& windows = test ? data_->test : data_->validation;
    const std::int64_t count = in_whole_batches(windows.count(), batch_, settings_.compat_drop_last);
    const std::int64_t stride = extent == Extent::quick ? settings_.window_stride : 1;
    const Forecaster forecaster = [&](const torch::Tensor& inputs) {
      return model_->forward(inputs.to(device_));
    };
    const Score found = score(forecaster, windows, divided_up(count, stride), batch_, stride);
    Evaluation evaluation{{found.mean_squared_error(), found.mean_absolute_error()}};
    if (test) {
      evaluation.exhibits = forecast_exhibits(data_->series, forecaster, found, linear_, data_->test);
    }
    return evaluation;
  }
  bool has_test_part() const noexcept override { return true; }

  std::optional<AttentionHeads> attention_heads() const override {
    return AttentionHeads{model_->config().width, model_->config().heads};
  }

  std::string model_text() const override {
    return fmt::format("PatchTST {} to {}: {} parameters", settings_.look_back, settings_.horizon,
                       model_->config().parameter_count());
  }

  nlohmann::ordered_json describe_model() const override {
    const PatchTstConfig& config = model_->config();
    return {{"name", "PatchTST"},
            {"look_back", config.look_back},
            {"horizon", config.horizon},
            {"patch_length", config.patch_length},
            {"patch_stride", config.patch_stride},
            {"layers", config.layers},
            {"width", config.width},
            {"heads", config.heads},
            {"hidden", config.hidden},
            {"parameters", config.parameter_count()}};
  }

  nlohmann::ordered_json describe_data() const override {
    return {{"source", data_->series.name},
            {"channels", data_->series.channels},
            {"rows", data_->series.rows()},
            {"parts", data_->parts.rule},
            {"training_windows", data_->training.count()},
            {"validation_windows", data_->validation.count()},
            {"test_windows", data_->test.count()},
            {"last_value", to_string(score_last_value(data_->test))},
            {"window_mean", to_string(score_window_mean(data_->test))},
            {"linear_model", to_string(linear_)},
            {"notes", data_->series.notes},
            {"sha256", data_->series.sha256}};
  }

 private:
  TaskInfo info_;
  torch::Device device_;
  ForecastSettings settings_;
  Corruption corruption_;
  std::uint64_t seed_;
  std::int64_t batch_, accumulation_;
  std::unique_ptr<const ForecastData> data_;
  WindowOrder order_;
  PatchTst model_;
  Score linear_;  // of the closed-form model, on the test part
};

}  // namespace

Result<std::unique_ptr<Task>> make_forecast_task(const TrainOptions& options, const PreparationProgress&) {
  const auto device = device_named(options.device);
  if (!device) return device.status();
  auto data = read_forecast_data(forecast_settings(options));
  if (!data) return data.status();
  return std::unique_ptr<Task>(std::make_unique<ForecastTask>(options, *device, *std::move(data)));
}

}  // namespace gradstab::lab::forecast
