#include "tests/lab/toy/toy_kind.hpp"

#include <fmt/format.h>

#include "lab/train/setting_checks.hpp"

namespace gradstab::lab {
namespace {

class ToyKind final : public TaskKind {
 public:
  std::string_view name() const noexcept override { return "toy"; }
  std::string_view summary() const noexcept override { return "look for the lowest point of a noisy bowl"; }
  std::string_view example() const noexcept override { return "--size 4 --steps 30"; }
  const char* batch_help() const noexcept override { return "draws per micro-batch"; }
  TaskInfo info() const override {
    TaskInfo info;
    info.name = name();
    info.sample = "draws";
    info.held_out = "without noise";
    info.loss_unit = "heights";
    info.metrics = {{.key = "closeness",
                     .title = "Closeness",
                     .noun = "closeness",
                     .unit = "digits",
                     .better = Better::higher,
                     .digits = 3,
                     .meaning = "How many decimal digits of the point are right."},
                    {.key = "distance", .title = "Distance", .noun = "distance", .unit = "", .digits = 5}};
    info.loss_spike = 0.0;
    return info;
  }
  bool has_epochs() const noexcept override { return true; }
  void set_defaults(TrainOptions& options) const override {
    options.task = TaskSettings(ToySettings());
    options.lr = 0.05;
    options.steps = 60;
    options.warmup = 0;
    options.eval_every = 10;
    options.checkpoint_every = 5;
  }
  std::vector<Recipe> recipes() const override {
    return {{"tiny", "two coordinates", {{"size", "2"}, {"steps", "20"}}}};
  }
  Status validate(const TrainOptions& options) const override {
    const auto& settings = options.task.as<ToySettings>();
    GRADSTAB_RETURN_IF_ERROR(within("size", 1, 1000, settings.size));
    GRADSTAB_RETURN_IF_ERROR(not_negative("noise", settings.noise));
    GRADSTAB_RETURN_IF_ERROR(at_least("spike_every", 0, settings.spike_every));
    if (options.precision != "fp32")
      return invalid_setting("precision", "fp32 for this task", "'" + options.precision + "'");
    return {};
  }
  std::string model_name(const TrainOptions& options) const override {
    return fmt::format("size{}", options.task.as<ToySettings>().size);
  }
  std::string update_text(const TrainOptions& options) const override {
    return fmt::format("{} draws", options.batch * options.accumulation);
  }
  ModelSize model_size(const TrainOptions& options) const override {
    return {static_cast<double>(options.task.as<ToySettings>().size), 0.0};
  }
  std::optional<double> core_seconds(const TrainOptions&) const override { return {}; }
  std::optional<double> device_seconds(const TrainOptions&, int) const override { return {}; }
  std::vector<std::string_view> data_settings() const override { return {}; }
  std::string_view data_example() const noexcept override { return ""; }
  std::optional<DataQuestion> data_question() const override { return {}; }
  Result<DataReport> describe_data(const TrainOptions&, const std::string&,
                                   const PreparationProgress&) const override {
    return DataReport();
  }
  std::string_view data_of_the_paper() const noexcept override { return ""; }
};

}  // namespace

const TaskKind& toy_kind() {
  static const ToyKind kind;
  return kind;
}

}  // namespace gradstab::lab
