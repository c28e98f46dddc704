// How large a file can be that is read into memory, by what it holds.
#pragma once

#include <cstdint>
#include <string_view>

namespace gradstab::lab {

/// What a reader expects in a file.
struct FileKind {
  std::string_view name;         ///< as messages call it, with its article
  std::uintmax_t max_bytes = 0;  ///< a larger file is refused before it is read
};

inline constexpr std::uintmax_t kMiB = std::uintmax_t{1} << 20;
inline constexpr std::uintmax_t kGiB = std::uintmax_t{1} << 30;

/// run.json, summary.json, sweep.json, results.json, verdicts.json: below 1 KiB for each run that they name.
inline constexpr FileKind kDescriptionFile{"a description of runs", 64 * kMiB};
/// metrics.jsonl: about 600 bytes for each update.
inline constexpr FileKind kMetricsFile{"the metrics of a run", 2 * kGiB};
/// records.jsonl, packed or not: about 25 bytes for each update of each run, so a hundred runs of 100,000
/// updates.
inline constexpr FileKind kRecordsFile{"the records of a reproduction", 256 * kMiB};
/// A series to forecast: 20 bytes for each value.
inline constexpr FileKind kSeriesFile{"a table of numbers", kGiB};
/// A JPEG or PNG file.
inline constexpr FileKind kPictureFile{"a picture", 256 * kMiB};
/// Many small pictures or their labels, as MNIST and CIFAR have them, packed or not: a million of 28x28.
inline constexpr FileKind kPictureTableFile{"a table of pictures", 2 * kGiB};
/// What `gradstab replay` reads.
inline constexpr FileKind kRecordingFile{"a recording", kGiB};
/// What `gradstab rollout` reads: about 300 KB for three roll-outs of 200 steps. All of it is taken apart in
/// memory, at 40 bytes for each of the file's at most.
inline constexpr FileKind kRolloutFile{"recorded roll-outs", 64 * kMiB};
/// A robot as MJCF: a few kilobytes.
inline constexpr FileKind kModelFile{"a model of a robot", kMiB};
/// Weights and states; the machine's memory is the limit that matters.
inline constexpr FileKind kCheckpointFile{"a checkpoint", 1024 * kGiB};
/// A trained vocabulary.
inline constexpr FileKind kTokenizerFile{"a tokenizer", 64 * kMiB};
/// What the system says about itself.
inline constexpr FileKind kSystemFile{"a file of the system", 16 * kMiB};

}  // namespace gradstab::lab
