#include "lab/vision/loader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "lab/vision/batch_maker.hpp"
#include "lab/vision/batch_queue.hpp"

namespace gradstab::lab::vision {

Status LoaderOptions::validate() const {
  constexpr std::int64_t kMostBatch = 1 << 20;
  constexpr int kMostWorkers = 1024, kMostPrefetch = 1024;
  const auto refuse = [](std::string_view name, std::int64_t least, std::int64_t most, std::int64_t value) {
    return Status(StatusCode::invalid_argument,
                  fmt::format("{} must be from {} to {}, got {}", name, least, most, value));
  };
  if (batch < 1 || batch > kMostBatch) return refuse("batch", 1, kMostBatch, batch);
  if (workers < 0 || workers > kMostWorkers) return refuse("workers", 0, kMostWorkers, workers);
  if (prefetch < 1 || prefetch > kMostPrefetch) return refuse("prefetch", 1, kMostPrefetch, prefetch);
  return {};
}

struct Loader::Parts {
  Parts(BatchMaker the_maker, const LoaderOptions& the_options)
      : maker(std::move(the_maker)), options(the_options) {
    if (options.workers > 0) queue.emplace(maker, options.workers, options.prefetch);
  }

  /// Into `batch`. What could not be read is an error or remembered.
  Status take(const BatchRequest& request, Batch& batch) {
    std::swap(making.batch, batch);
    if (queue) {
      queue->take(request, making);
    } else {
      maker.begin(request, making);
      for (std::int64_t i = 0; i < maker.samples(request); ++i) maker.make(i, workspace, making);
      maker.finish(workspace, making);
    }
    std::swap(making.batch, batch);
    for (const SkippedPicture& picture : batch.skipped) remember(picture);
    if (!options.strict || batch.skipped.empty()) return {};
    const auto failed = std::ranges::find_if(making.outcomes, [](const Status& each) { return !each.ok(); });
    return *failed;
  }

  void remember(const SkippedPicture& picture) {
    const auto key = [](const SkippedPicture& each) { return std::tuple(each.part, each.picture); };
    const auto place = std::ranges::lower_bound(skipped, key(picture), {}, key);
    if (place == skipped.end() || key(*place) != key(picture)) skipped.insert(place, picture);
  }

  BatchMaker maker;
  LoaderOptions options;
  Making making;
  Workspace workspace;  // where there are no threads
  std::vector<SkippedPicture> skipped;
  std::optional<BatchQueue> queue;  // last: its threads end before what they use
};

Loader::Loader(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Loader::~Loader() = default;

Result<std::unique_ptr<Loader>> Loader::create(std::shared_ptr<const PictureSource> source,
                                               const AugmentationOptions& augmentation,
                                               const LoaderOptions& options) {
  auto maker = BatchMaker::create(std::move(source), augmentation, options);
  if (!maker) return maker.status();
  try {
    return std::unique_ptr<Loader>(new Loader(std::make_unique<Parts>(*std::move(maker), options)));
  } catch (const std::system_error& error) {
    return Status(StatusCode::io_error,
                  fmt::format("cannot start {} threads to load pictures: {}", options.workers, error.what()));
  }
}

const PictureSource& Loader::source() const noexcept {
  return parts_->maker.source();
}
std::int64_t Loader::batches_per_epoch() const noexcept {
  return parts_->maker.batches_per_epoch();
}
std::int64_t Loader::samples(std::uint64_t index) const noexcept {
  return parts_->maker.samples({.index = index});
}
const std::vector<SkippedPicture>& Loader::skipped() const noexcept {
  return parts_->skipped;
}
const std::vector<float>& Loader::mean() const noexcept {
  return parts_->maker.normalizer().mean();
}
const std::vector<float>& Loader::deviation() const noexcept {
  return parts_->maker.normalizer().deviation();
}

Status Loader::training_batch(std::uint64_t index, Batch& batch) {
  return parts_->take({.index = index}, batch);
}

Status Loader::evaluation_batch(Part part, std::int64_t first, std::int64_t count, Batch& batch) {
  const std::int64_t size = source().size(part);
  if (first < 0 || first >= size)
    return {StatusCode::invalid_argument,
            fmt::format("picture {} is not in the {} part, which has {}", first, to_string(part), size)};
  if (count < 1)
    return {StatusCode::invalid_argument, fmt::format("a batch has at least 1 picture, got {}", count)};
  return parts_->take({.training = false, .part = part, .first = first, .count = count}, batch);
}

std::string Loader::skipped_warning() const {
  if (skipped().empty()) return {};
  const std::size_t count = skipped().size();
  return fmt::format("{} cannot be read and {} left out; the first: {}",
                     count == 1 ? "1 picture" : fmt::format("{} pictures", count), count == 1 ? "is" : "are",
                     skipped().front().what);
}

}  // namespace gradstab::lab::vision
