#include "lab/vision/vision_kind.hpp"

#include <fmt/format.h>

#include "lab/vision/vision_data_report.hpp"
#include "lab/vision/vision_recipes.hpp"
#include "lab/vision/vision_settings.hpp"
#include "lab/vision/vision_time.hpp"

namespace gradstab::lab::vision {
namespace {

class VisionKind final : public TaskKind {
 public:
  std::string_view name() const noexcept override { return "vision"; }
  std::string_view summary() const noexcept override {
    return "classify pictures with a ViT, a ConvNeXt or a ResNet";
  }
  bool has_epochs() const noexcept override { return true; }
  std::string_view example() const noexcept override { return "--recipe cpu --transform stabilize"; }
  const char* batch_help() const noexcept override { return "pictures per micro-batch"; }

  TaskInfo info() const override {
    TaskInfo info;
    info.name = name();
    info.sample = "pictures";
    info.held_out = "on held-out pictures";
    info.loss_unit = "nats per picture";
    info.metrics = {
        {.key = "top1",
         .title = "Top-1",
         .noun = "accuracy",
         .unit = "%",
         .better = Better::higher,
         .digits = 2,
         .meaning = "The share of pictures whose class the model thinks most likely."},
        {.key = "top5",
         .title = "Top-5",
         .noun = "top-5 accuracy",
         .unit = "%",
         .better = Better::higher,
         .digits = 2,
         .meaning = "The share of pictures whose class is among the five that the model thinks most "
                    "likely."},
        {.key = "loss",
         .title = "Loss",
         .noun = "loss",
         .unit = "nats per picture",
         .better = Better::lower,
         .digits = 4,
         .meaning = "The mean cross-entropy, without label smoothing."}};
    return info;
  }

  void set_defaults(TrainOptions& options) const override {
    options.task = TaskSettings(VisionSettings());
    options.batch = 128;
  }
  std::vector<Recipe> recipes() const override { return vision_recipes(); }
  Status validate(const TrainOptions& options) const override { return validate_vision(options); }

  std::string model_name(const TrainOptions& options) const override {
    return vision_settings(options).model;
  }
  std::string update_text(const TrainOptions& options) const override {
    const VisionSettings& settings = vision_settings(options);
    const int size = training_size(settings);
    return fmt::format("{} pictures of {} x {} pixels, {}", options.batch * options.accumulation, size, size,
                       find_model(settings.model)->title);
  }
  ModelSize model_size(const TrainOptions& options) const override {
    // How many channels and classes there are is known with the data.
    const VisionSettings& settings = vision_settings(options);
    const ModelConfig config = model_config(settings);
    return {static_cast<double>(parameter_count(config)),
            static_cast<double>(options.batch) * activations_per_picture(config, training_size(settings))};
  }
  std::optional<double> core_seconds(const TrainOptions& options) const override {
    return vision_core_seconds(options);
  }
  std::optional<double> device_seconds(const TrainOptions&, int) const override { return {}; }

  std::vector<std::string_view> data_settings() const override { return {"data", "validation"}; }
  std::string_view data_example() const noexcept override { return "pictures/ --validation 500"; }
  std::optional<DataQuestion> data_question() const override { return {}; }
  Result<DataReport> describe_data(const TrainOptions& options, const std::string&,
                                   const PreparationProgress& on_progress) const override {
    const auto source = open_source(source_options(vision_settings(options)));
    if (!source) return source.status();
    return vision_data_report(**source, on_progress);
  }
  std::string_view data_of_the_paper() const noexcept override {
    return "the pictures that the paper trained on: --data FOLDER with ImageNet as train/CLASS/ and "
           "val/CLASS/";
  }
};

}  // namespace

const TaskKind& vision_kind() {
  static const VisionKind kind;
  return kind;
}

}  // namespace gradstab::lab::vision
