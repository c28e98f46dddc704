// Batches of pictures, made ahead of time by threads.
//
// Every batch is a function of the seed and its index: which pictures, in which order, with which
// augmentation. How many threads make it, and which batches were made before, changes no bit of it, so that a
// resumed run goes on with the same ones and nothing has to be saved.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/vision/augmentation.hpp"
#include "lab/vision/batch.hpp"
#include "lab/vision/picture_source.hpp"

namespace gradstab::lab::vision {

struct LoaderOptions {
  std::int64_t batch = 128;  ///< pictures in a training batch
  std::uint64_t seed = 0;    ///< of the run
  int workers = 1;           ///< threads; 0: batches are made when they are asked for, by who asks
  int prefetch = 2;          ///< batches that are made ahead; at least 1
  bool drop_last = false;    ///< leaves out the smaller last batch of an epoch
  /// A picture that cannot be read is an error. Without it, the picture is left out of its batch, which is
  /// then smaller, and listed by `skipped`; every other picture has the place and the draws that it has
  /// anyway.
  bool strict = false;

  /// Errors (invalid_argument) name the first value that is out of its range.
  Status validate() const;
};

/// Makes batches of one source. Its functions are for one thread at a time; the threads inside are its own.
class Loader {
 public:
  /// Errors: those of the options; invalid_argument where they do not fit the source (the size of pictures,
  /// the normalization of a folder of files), or where an epoch has no batch.
  static Result<std::unique_ptr<Loader>> create(std::shared_ptr<const PictureSource> source,
                                                const AugmentationOptions& augmentation,
                                                const LoaderOptions& options);
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader();

  const PictureSource& source() const noexcept;
  std::int64_t batches_per_epoch() const noexcept;
  /// Pictures in the training batch `index`, before any is skipped.
  std::int64_t samples(std::uint64_t index) const noexcept;

  /// The training batch `index`, counted from the beginning of the run through all epochs. `batch` is
  /// overwritten and its memory used again: keep one and pass it every time. Batches in order are prefetched;
  /// any other index is right, too, and slower. Errors: where strict, those of the first picture that cannot
  /// be read, with its name.
  Status training_batch(std::uint64_t index, Batch& batch);

  /// Pictures [first, first + count) of a part, without augmentation, in the order of the source. Pictures
  /// beyond the end are left out. Prefetched where each call begins where the last one ended, with the same
  /// count. Errors: as above; invalid_argument for a first that is not in the part or a count below 1.
  Status evaluation_batch(Part part, std::int64_t first, std::int64_t count, Batch& batch);

  /// The pictures of all batches so far that could not be read, each once, in the order of part and index.
  const std::vector<SkippedPicture>& skipped() const noexcept;
  /// "3 pictures cannot be read and are left out; the first: 'PATH' is empty", or nothing.
  std::string skipped_warning() const;

  /// A channel's value v in [0, 1] becomes (v - mean) / deviation: [channels]. Exhibits turn it back.
  const std::vector<float>& mean() const noexcept;
  const std::vector<float>& deviation() const noexcept;

 private:
  struct Parts;
  explicit Loader(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace gradstab::lab::vision
