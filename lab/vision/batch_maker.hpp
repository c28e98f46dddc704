// One batch as a function of the seed and its index, sample by sample.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/vision/augmentation.hpp"
#include "lab/vision/batch.hpp"
#include "lab/vision/draws.hpp"
#include "lab/vision/loader.hpp"
#include "lab/vision/normalize.hpp"
#include "lab/vision/picture_source.hpp"
#include "lab/vision/resize.hpp"

namespace gradstab::lab::vision {

/// Which batch.
struct BatchRequest {
  bool training = true;
  std::uint64_t index = 0;     ///< of a training batch
  Part part = Part::training;  ///< of evaluation: pictures [first, first + count) of it
  std::int64_t first = 0, count = 0;
  bool operator==(const BatchRequest&) const = default;
};

/// Memory that making samples uses again and again. One per thread.
struct Workspace {
  ReadBuffers read;
  ResizeBuffers resize;
  Picture decoded, picture, scratch;
  std::vector<float> last;
};

/// A batch in the making. Threads make its samples, each one once, in any order; then one of them finishes
/// it.
struct Making {
  BatchRequest request;
  Batch batch;
  std::vector<Status> outcomes;  ///< by sample
};

/// Makes batches. Reading it from many threads is safe.
class BatchMaker {
 public:
  /// Errors: those of Loader::create.
  static Result<BatchMaker> create(std::shared_ptr<const PictureSource> source,
                                   const AugmentationOptions& augmentation, const LoaderOptions& options);

  const PictureSource& source() const noexcept { return *source_; }
  const Normalizer& normalizer() const noexcept { return normalizer_; }
  std::int64_t batches_per_epoch() const noexcept { return batches_per_epoch_; }
  /// Samples of a batch, before any is skipped.
  std::int64_t samples(const BatchRequest& request) const noexcept;
  /// What is probably asked for next. `stride` is from one training batch to the next.
  std::optional<BatchRequest> after(const BatchRequest& request, std::uint64_t stride) const noexcept;

  /// Makes room for the samples.
  void begin(const BatchRequest& request, Making& making) const;
  /// Makes sample `number` of samples(request).
  void make(std::int64_t number, Workspace& workspace, Making& making) const;
  /// Leaves out what could not be read, and mixes.
  void finish(Workspace& workspace, Making& making) const;

 private:
  BatchMaker(std::shared_ptr<const PictureSource> source, AugmentationOptions augmentation,
             LoaderOptions options, Normalizer normalizer);

  /// Where a sample stands in the training, and which picture it shows.
  struct Sample {
    std::uint64_t epoch, position;
    std::int64_t picture;
  };
  Sample training_sample(std::uint64_t index, std::int64_t number) const noexcept;
  Status make_training(const Sample& sample, Workspace& workspace, float* pixels) const;
  Status make_evaluation(Part part, std::int64_t picture, Workspace& workspace, float* pixels) const;
  Status read_view(Part part, std::int64_t picture, Workspace& workspace) const;
  Status read_crop(std::int64_t picture, Draws& draws, Workspace& workspace) const;

  std::shared_ptr<const PictureSource> source_;
  AugmentationOptions augmentation_;
  LoaderOptions options_;
  Normalizer normalizer_;
  std::int64_t batches_per_epoch_ = 0;
};

}  // namespace gradstab::lab::vision
