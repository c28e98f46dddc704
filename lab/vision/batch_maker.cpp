#include "lab/vision/batch_maker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/support/permutation.hpp"
#include "lab/vision/crops.hpp"
#include "lab/vision/draws.hpp"
#include "lab/vision/erase.hpp"
#include "lab/vision/geometry.hpp"
#include "lab/vision/mix.hpp"
#include "lab/vision/policy.hpp"

namespace gradstab::lab::vision {
namespace {

// Places of a draw that no model has, for the order of an epoch, the mixing of a batch and each sample.
constexpr std::uint64_t kOrderPlace = std::uint64_t{1} << 60;
constexpr std::uint64_t kMixPlace = kOrderPlace + 1;
constexpr std::uint64_t kSamplePlace = std::uint64_t{1} << 61;

const std::vector<float> kImagenetMean = {0.485F, 0.456F, 0.406F};
const std::vector<float> kImagenetDeviation = {0.229F, 0.224F, 0.225F};

Status refuse(std::string message) {
  return {StatusCode::invalid_argument, std::move(message)};
}

/// Whether the pictures can come to the size that the model sees.
Status check_sizes(const SourceInfo& info, const AugmentationOptions& augmentation) {
  const bool have_one_size = info.size.width > 0;
  const bool fit = have_one_size && info.size == Size{augmentation.size, augmentation.size};
  const std::string are = have_one_size ? fmt::format("are of {} x {}", info.size.width, info.size.height)
                                        : "have sizes of their own";
  if (augmentation.crop == Crop::padded && !fit)
    return refuse(fmt::format("a padded crop of {0} x {0} needs pictures of that size; those of '{1}' {2}",
                              augmentation.size, info.path, are));
  if (augmentation.evaluation_resize == 0 && !fit)
    return refuse(fmt::format("eval_resize is 0, which needs pictures of {0} x {0}; those of '{1}' {2}",
                              augmentation.size, info.path, are));
  return {};
}

Result<Normalizer> normalizer_for(const SourceInfo& info, Normalization normalization) {
  const auto channels = static_cast<std::size_t>(info.channels);
  switch (normalization) {
    case Normalization::none:
      return Normalizer(std::vector<float>(channels, 0), std::vector<float>(channels, 1));
    case Normalization::imagenet:
      if (channels != kImagenetMean.size())
        return refuse(fmt::format("ImageNet's normalization needs three channels, '{}' has {}", info.path,
                                  info.channels));
      return Normalizer(kImagenetMean, kImagenetDeviation);
    case Normalization::data:
      break;
  }
  if (info.mean.empty())
    return refuse(
        fmt::format("the mean of '{}' is not known without reading all of its files; use normalization "
                    "imagenet or none",
                    info.path));
  std::vector<float> mean(info.mean.begin(), info.mean.end());
  std::vector<float> deviation(info.deviation.begin(), info.deviation.end());
  // Pictures that are all the same stay finite.
  std::ranges::replace(deviation, 0.0F, 1.0F);
  return Normalizer(std::move(mean), std::move(deviation));
}

}  // namespace

BatchMaker::BatchMaker(std::shared_ptr<const PictureSource> source, AugmentationOptions augmentation,
                       LoaderOptions options, Normalizer normalizer)
    : source_(std::move(source)),
      augmentation_(augmentation),
      options_(options),
      normalizer_(std::move(normalizer)) {
  const std::int64_t pictures = source_->size(Part::training);
  batches_per_epoch_ = (pictures + (options_.drop_last ? 0 : options_.batch - 1)) / options_.batch;
}

Result<BatchMaker> BatchMaker::create(std::shared_ptr<const PictureSource> source,
                                      const AugmentationOptions& augmentation, const LoaderOptions& options) {
  GRADSTAB_RETURN_IF_ERROR(augmentation.validate());
  GRADSTAB_RETURN_IF_ERROR(options.validate());
  const SourceInfo& info = source->info();
  GRADSTAB_RETURN_IF_ERROR(check_sizes(info, augmentation));
  auto normalizer = normalizer_for(info, augmentation.normalization);
  if (!normalizer) return normalizer.status();
  BatchMaker maker(std::move(source), augmentation, options, *std::move(normalizer));
  if (maker.batches_per_epoch() == 0)
    return refuse(
        fmt::format("an epoch has no batch of {}, since '{}' has {} training pictures and drop_last "
                    "leaves out smaller ones",
                    options.batch, info.path, maker.source().size(Part::training)));
  return maker;
}

std::int64_t BatchMaker::samples(const BatchRequest& request) const noexcept {
  if (!request.training) return std::min(request.count, source_->size(request.part) - request.first);
  const auto number =
      static_cast<std::int64_t>(request.index % static_cast<std::uint64_t>(batches_per_epoch_));
  return std::min(options_.batch, source_->size(Part::training) - number * options_.batch);
}

std::optional<BatchRequest> BatchMaker::after(const BatchRequest& request,
                                              std::uint64_t stride) const noexcept {
  BatchRequest next = request;
  if (request.training) {
    next.index += stride;
    return next;
  }
  next.first += request.count;
  if (next.first >= source_->size(request.part)) return std::nullopt;
  return next;
}

BatchMaker::Sample BatchMaker::training_sample(std::uint64_t index, std::int64_t number) const noexcept {
  const auto batches = static_cast<std::uint64_t>(batches_per_epoch_);
  const std::uint64_t epoch = index / batches;
  const std::uint64_t position =
      index % batches * static_cast<std::uint64_t>(options_.batch) + static_cast<std::uint64_t>(number);
  const nn::CounterKey key = nn::Draw{options_.seed, epoch}.key(kOrderPlace);
  const std::uint64_t order = std::uint64_t{key.second} << 32U | key.first;
  const std::uint64_t picture =
      permuted_index(position / static_cast<std::uint64_t>(augmentation_.repeats),
                     static_cast<std::uint64_t>(source_->size(Part::training)), order);
  return {epoch, position, static_cast<std::int64_t>(picture)};
}

void BatchMaker::begin(const BatchRequest& request, Making& making) const {
  making.request = request;
  Batch& batch = making.batch;
  batch.count = samples(request);
  batch.channels = source_->info().channels;
  batch.height = batch.width = augmentation_.size;
  const auto count = static_cast<std::size_t>(batch.count);
  batch.pixels.resize(count * static_cast<std::size_t>(batch.channels) *
                      static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width));
  batch.labels.resize(count);
  batch.pictures.resize(count);
  batch.partner_labels.clear();
  batch.weight = 1;
  batch.skipped.clear();
  making.outcomes.assign(count, {});
}

void BatchMaker::make(std::int64_t number, Workspace& workspace, Making& making) const {
  const BatchRequest& request = making.request;
  Batch& batch = making.batch;
  const auto at = static_cast<std::size_t>(number);
  float* const pixels = batch.pixels.data() + at * (batch.pixels.size() / batch.labels.size());
  if (request.training) {
    const Sample sample = training_sample(request.index, number);
    batch.pictures[at] = sample.picture;
    making.outcomes[at] = make_training(sample, workspace, pixels);
  } else {
    batch.pictures[at] = request.first + number;
    making.outcomes[at] = make_evaluation(request.part, request.first + number, workspace, pixels);
  }
  batch.labels[at] = source_->label(request.training ? Part::training : request.part, batch.pictures[at]);
}

/// Puts the picture as evaluation sees it into workspace.picture.
Status BatchMaker::read_view(Part part, std::int64_t picture, Workspace& workspace) const {
  EvaluationView view;
  Size size;
  Rectangle region;
  GRADSTAB_RETURN_IF_ERROR(source_->read(
      part, picture,
      [&](Size of_picture) {
        size = of_picture;
        view = evaluation_view(augmentation_, size);
        // Where nothing is resized, the window itself: what it would be resized from is a pixel more.
        region = size == view.resized ? view.window : resize_support(size, view.resized, view.window);
        return region;
      },
      workspace.read, workspace.decoded));
  if (size == view.resized)
    std::swap(workspace.picture, workspace.decoded);
  else
    resize(workspace.decoded, region, size, view.resized, view.window, workspace.resize, workspace.picture);
  return {};
}

/// Puts the training picture, cropped, into workspace.picture.
Status BatchMaker::read_crop(std::int64_t picture, Draws& draws, Workspace& workspace) const {
  const int side = augmentation_.size;
  switch (augmentation_.crop) {
    case Crop::none:
      return read_view(Part::training, picture, workspace);
    case Crop::padded: {
      GRADSTAB_RETURN_IF_ERROR(
          source_->read(Part::training, picture, whole, workspace.read, workspace.decoded));
      const int padding = augmentation_.padding;
      const int top = draws.below(2 * padding + 1) - padding;
      const int left = draws.below(2 * padding + 1) - padding;
      cut(workspace.decoded, left, top, {side, side}, workspace.picture);
      return {};
    }
    case Crop::random_resized: {
      const auto choose = [&](Size size) { return draw_resized_crop(draws, augmentation_, size); };
      GRADSTAB_RETURN_IF_ERROR(
          source_->read(Part::training, picture, choose, workspace.read, workspace.decoded));
      const Size crop = workspace.decoded.size();
      resize(workspace.decoded, whole(crop), crop, {side, side}, {0, 0, side, side}, workspace.resize,
             workspace.picture);
      return {};
    }
  }
  return {};
}

Status BatchMaker::make_training(const Sample& sample, Workspace& workspace, float* pixels) const {
  Draws draws(nn::Draw{options_.seed, sample.epoch}.key(kSamplePlace + sample.position));
  GRADSTAB_RETURN_IF_ERROR(read_crop(sample.picture, draws, workspace));
  Picture& picture = workspace.picture;
  if (augmentation_.flip > 0 && draws.chance(augmentation_.flip)) flip(picture);
  if (augmentation_.policy == Policy::random_augment)
    for (int i = 0; i < augmentation_.random_augment_count; ++i)
      apply(draw_random_augment(draws, augmentation_.random_augment_magnitude, picture.size()), picture,
            workspace.scratch);
  else if (augmentation_.policy == Policy::trivial_augment)
    apply(draw_trivial_augment(draws), picture, workspace.scratch);
  normalizer_.apply(picture, pixels);
  if (augmentation_.erase > 0 && draws.chance(augmentation_.erase))
    if (const auto rectangle = draw_erasure(draws, picture.size()))
      erase(*rectangle, picture.channels, picture.size(), pixels);
  return {};
}

Status BatchMaker::make_evaluation(Part part, std::int64_t picture, Workspace& workspace,
                                   float* pixels) const {
  GRADSTAB_RETURN_IF_ERROR(read_view(part, picture, workspace));
  normalizer_.apply(workspace.picture, pixels);
  return {};
}

void BatchMaker::finish(Workspace& workspace, Making& making) const {
  Batch& batch = making.batch;
  const std::size_t count = batch.labels.size();
  const std::size_t values = count == 0 ? 0 : batch.pixels.size() / count;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!making.outcomes[i].ok()) {
      batch.skipped.push_back({making.request.training ? Part::training : making.request.part,
                               batch.pictures[i], making.outcomes[i].message()});
      continue;
    }
    if (kept < i) {
      batch.labels[kept] = batch.labels[i];
      batch.pictures[kept] = batch.pictures[i];
      std::copy_n(batch.pixels.begin() + static_cast<std::ptrdiff_t>(i * values), values,
                  batch.pixels.begin() + static_cast<std::ptrdiff_t>(kept * values));
    }
    ++kept;
  }
  batch.count = static_cast<std::int64_t>(kept);
  batch.labels.resize(kept);
  batch.pictures.resize(kept);
  batch.pixels.resize(kept * values);
  if (!making.request.training) return;
  Draws draws(nn::Draw{options_.seed, making.request.index}.key(kMixPlace));
  mix(draw_mix(draws, augmentation_, {batch.width, batch.height}), batch, workspace.last);
}

}  // namespace gradstab::lab::vision
