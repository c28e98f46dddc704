#include "lab/vision/vision_task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "lab/support/arithmetic.hpp"
#include "lab/train/device.hpp"
#include "lab/train/setting_checks.hpp"
#include "lab/vision/classification_loss.hpp"
#include "lab/vision/classifier.hpp"
#include "lab/vision/loader.hpp"
#include "lab/vision/vision_exhibits.hpp"
#include "lab/vision/vision_kind.hpp"
#include "lab/vision/vision_settings.hpp"

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

/// Views of a batch's memory, valid as long as it is.
Tensor pixels_of(Batch& batch) {
  return torch::from_blob(batch.pixels.data(), {batch.count, batch.channels, batch.height, batch.width},
                          torch::kFloat);
}
Tensor labels_of(std::vector<std::int64_t>& labels) {
  return torch::from_blob(labels.data(), {static_cast<std::int64_t>(labels.size())}, torch::kLong);
}

/// One loader for training and one for evaluations, which may want other sizes.
struct Loaders {
  std::unique_ptr<Loader> training, evaluation;
};

Result<Loaders> make_loaders(const TrainOptions& options) {
  const VisionSettings& settings = vision_settings(options);
  auto source = open_source(source_options(settings));
  if (!source) return source.status();
  auto training = Loader::create(*source, training_augmentation(settings), loader_options(options));
  if (!training) return training.status();
  auto evaluation = Loader::create(*source, evaluation_augmentation(settings), loader_options(options));
  if (!evaluation) return evaluation.status();
  return Loaders{*std::move(training), *std::move(evaluation)};
}

/// BatchNorm needs more than one value of a channel.
bool one_picture_is_too_few(const ModelConfig& config, const VisionSettings& settings) {
  const auto* const resnet = std::get_if<ResNetConfig>(&config);
  return resnet != nullptr && last_side(*resnet, training_size(settings)) <= 1;
}

/// Which pictures there are is known only with the data.
Status has_statistics(const ModelConfig& config, const VisionSettings& settings, const Loader& training) {
  if (!one_picture_is_too_few(config, settings)) return {};
  for (const std::int64_t batch : {std::int64_t{0}, training.batches_per_epoch() - 1})
    if (training.samples(static_cast<std::uint64_t>(batch)) == 1)
      return invalid_setting("batch",
                             "such that no batch of an epoch has a single picture, of which BatchNorm has no "
                             "statistics (drop_last leaves out the smaller last one)",
                             training.samples(0));
  return {};
}

class VisionTask final : public Task {
 public:
  VisionTask(const TrainOptions& options, const torch::Device& device, Loaders loaders)
      : info_(vision_kind().info()),
        device_(device),
        settings_(vision_settings(options)),
        seed_(options.seed),
        batch_(options.batch),
        accumulation_(options.accumulation),
        training_(std::move(loaders.training)),
        evaluation_(std::move(loaders.evaluation)),
        config_(model_config(settings_, source().channels, classes())),
        one_is_too_few_(one_picture_is_too_few(config_, settings_)),
        model_(make_classifier(config_, options.seed)) {
    model_->to(device_);  // after the draws, so that all devices begin with the same weights
    info_.uninformed = 100.0 / static_cast<double>(classes());
  }

  const TaskInfo& info() const noexcept override { return info_; }
  torch::nn::Module& model() override { return *model_; }
  std::vector<ParameterGroup> groups() const override {
    auto names = parameters_without_decay(*model_, settings_.decayed);
    if (names.empty()) return {};
    return {{.parameters = std::move(names), .weight_decay_scale = 0.0}};
  }
  std::int64_t updates_per_epoch() const noexcept override {
    return divided_up(training_->batches_per_epoch(), accumulation_);
  }

  Tensor training_loss(std::uint64_t index) override {
    training_->training_batch(index, read_).check();
    if (read_.count == 0)
      throw Error(Status(StatusCode::corrupt_data, "no picture of a batch can be read: " + warning()));
    if (read_.count == 1 && one_is_too_few_)
      throw Error(
          Status(StatusCode::corrupt_data,
                 "BatchNorm has no statistics of the one picture of a batch that can be read: " + warning()));
    Targets targets{labels_of(read_.labels).to(device_), {}, read_.weight};
    if (!read_.partner_labels.empty()) targets.partners = labels_of(read_.partner_labels).to(device_);
    return classification_loss(model_->forward(pixels_of(read_).to(device_), {seed_, index}), targets,
                               settings_.label_smoothing);
  }

  std::int64_t samples(std::uint64_t index) const override { return training_->samples(index); }

  Evaluation evaluate(Extent extent) override {
    const Part part = extent == Extent::test ? Part::test : Part::validation;
    const std::int64_t all = evaluation_->source().size(part);
    const std::int64_t count = extent == Extent::quick ? std::min(all, kMostEvaluatedQuickly) : all;
    Scores scores(classes());
    std::vector<std::int64_t> pictures;
    const torch::NoGradGuard no_grad;
    for (std::int64_t first = 0; first < count; first += batch_) {
      evaluation_->evaluation_batch(part, first, std::min(batch_, count - first), evaluated_).check();
      if (evaluated_.count == 0) continue;
      scores.add(model_->forward(pixels_of(evaluated_).to(device_)).to(torch::kCPU),
                 labels_of(evaluated_.labels));
      pictures.insert(pictures.end(), evaluated_.pictures.begin(), evaluated_.pictures.end());
    }
    if (scores.count() == 0)
      throw Error(Status(StatusCode::corrupt_data, "no picture of an evaluation can be read: " + warning()));
    Evaluation evaluation{{scores.top1(), scores.top5(), scores.loss()}};
    if (extent == Extent::test) evaluation.exhibits = exhibits(scores, pictures);
    return evaluation;
  }
  bool has_test_part() const noexcept override { return true; }

  std::string warning() const override {
    const std::string of_training = training_->skipped_warning();
    const std::string of_evaluation = evaluation_->skipped_warning();
    return of_training.empty()     ? of_evaluation
           : of_evaluation.empty() ? of_training
                                   : of_training + "; in evaluations " + of_evaluation;
  }

  std::string model_text() const override {
    return fmt::format("{}: {} parameters", find_model(settings_.model)->title, parameter_count(config_));
  }

  nlohmann::ordered_json describe_model() const override {
    return {{"name", settings_.model},
            {"channels", source().channels},
            {"classes", classes()},
            {"picture_size", training_size(settings_)},
            {"parameters", parameter_count(config_)}};
  }

  nlohmann::ordered_json describe_data() const override {
    nlohmann::ordered_json data = to_json(source());
    // Where the pictures lie may change where a run goes on; what they are may not.
    data["kind"] = data["source"];
    if (!source().path.empty()) data["source"] = source().path;
    data.erase("path");
    return data;
  }

 private:
  const SourceInfo& source() const noexcept { return training_->source().info(); }
  std::int64_t classes() const noexcept { return static_cast<std::int64_t>(source().classes.size()); }

  nlohmann::ordered_json exhibits(const Scores& scores, const std::vector<std::int64_t>& pictures) {
    std::vector<ShownPicture> shown;
    for (const std::size_t place : worth_showing(scores)) {
      evaluation_->evaluation_batch(Part::test, pictures[place], 1, evaluated_).check();
      if (evaluated_.count == 1) shown.push_back({place, as_seen(evaluated_)});
    }
    nlohmann::ordered_json exhibits = nlohmann::ordered_json::array();
    exhibits.push_back(confusion_exhibit(scores, source().classes));
    if (!shown.empty()) exhibits.push_back(sheet_exhibit(scores, source().classes, shown));
    return exhibits;
  }

  /// The one picture of a batch, back from what the model is given.
  Picture as_seen(const Batch& batch) const {
    Picture picture;
    picture.reshape(batch.width, batch.height, batch.channels);
    const std::size_t plane = static_cast<std::size_t>(batch.width) * static_cast<std::size_t>(batch.height);
    for (std::size_t channel = 0; channel < static_cast<std::size_t>(batch.channels); ++channel) {
      const float mean = evaluation_->mean()[channel];
      const float deviation = evaluation_->deviation()[channel];
      for (std::size_t i = 0; i < plane; ++i) {
        const float value = batch.pixels[channel * plane + i] * deviation + mean;
        picture.pixels[i * static_cast<std::size_t>(batch.channels) + channel] =
            static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0f, 1.0f) * 255.0f));
      }
    }
    return picture;
  }

  TaskInfo info_;
  torch::Device device_;
  VisionSettings settings_;
  std::uint64_t seed_;
  std::int64_t batch_, accumulation_;
  std::unique_ptr<Loader> training_, evaluation_;
  ModelConfig config_;
  bool one_is_too_few_;
  std::shared_ptr<Classifier> model_;
  Batch read_, evaluated_;  // their memory is used again
};

}  // namespace

Result<std::unique_ptr<Task>> make_vision_task(const TrainOptions& options, const PreparationProgress&) {
  const auto device = device_named(options.device);
  if (!device) return device.status();
  auto loaders = make_loaders(options);
  if (!loaders) return loaders.status();
  const VisionSettings& settings = vision_settings(options);
  GRADSTAB_RETURN_IF_ERROR(has_statistics(model_config(settings), settings, *loaders->training));
  return std::unique_ptr<Task>(std::make_unique<VisionTask>(options, *device, *std::move(loaders)));
}

}  // namespace gradstab::lab::vision
