// What the list of tasks knows of each: everything that can be said and checked without LibTorch.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/train/metric.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// Many settings under one name: `--recipe cpu`.
struct Recipe {
  std::string name;
  std::string summary;  ///< what it is good for, in a few words
  SettingTexts settings;
};

/// How large a run's model and its micro-batch are.
struct ModelSize {
  double parameters = 0.0;
  double activations = 0.0;  ///< numbers that backward needs of one micro-batch, at the very least
};

/// Told how far the preparation of data is: what is done, and how much of it, from 0 to 1.
using PreparationProgress = std::function<void(std::string_view doing, double fraction)>;

/// What `gradstab data` says: labels and their texts, a line each.
using DataReport = std::vector<std::pair<std::string, std::string>>;

/// An option of `gradstab data TASK` beside the settings, whose value is a text: "--encode".
struct DataQuestion {
  std::string flag;
  std::string help;
};

/// One task, without LibTorch.
class TaskKind {
 public:
  TaskKind() = default;
  virtual ~TaskKind() = default;
  TaskKind(const TaskKind&) = delete;
  TaskKind& operator=(const TaskKind&) = delete;

  /// As in `gradstab train llm`.
  virtual std::string_view name() const noexcept = 0;
  /// "pre-train a LLaMA on text"
  virtual std::string_view summary() const noexcept = 0;
  /// Whether a run can pass over its training data so many times; without epochs there are no settings of
  /// them.
  virtual bool has_epochs() const noexcept { return false; }
  /// What `--epochs` counts.
  virtual const char* epochs_help() const noexcept {
    return "length in passes over the training data, instead of steps; 0: given by steps";
  }
  /// Whether `--device` may be another than the CPU.
  virtual bool trains_on_gpu() const noexcept { return true; }
  /// Settings that make a good example: "--transform stabilize --lr 0.01 --steps 300".
  virtual std::string_view example() const noexcept = 0;
  /// What `--batch` counts: "sequences per micro-batch".
  virtual const char* batch_help() const noexcept = 0;
  /// Metrics and words; `uninformed` is known only with the data.
  virtual TaskInfo info() const = 0;

  /// Its settings with their defaults, and other defaults of what every run has where it wants them. Called
  /// by default_options, which sets `kind`.
  virtual void set_defaults(TrainOptions& options) const = 0;
  virtual std::vector<Recipe> recipes() const = 0;

  /// Of valid options of what every run has, whose task is this: its own settings, and what it cannot do.
  virtual Status validate(const TrainOptions& options) const = 0;

  /// Of the model, for the name of a run's folder: "1m-layers3".
  virtual std::string model_name(const TrainOptions& options) const = 0;
  /// What an update reads, and of which model: "8 x 128 tokens, LLaMA 1m".
  virtual std::string update_text(const TrainOptions& options) const = 0;
  virtual ModelSize model_size(const TrainOptions& options) const = 0;
  /// Seconds that the run takes on one idle core of a virtual machine; nothing for what was not measured.
  virtual std::optional<double> core_seconds(const TrainOptions& options) const = 0;
  /// The same on an H100 that `jobs` such runs share.
  virtual std::optional<double> device_seconds(const TrainOptions& options, int jobs) const = 0;

  /// The settings that say what data a run reads, the source first; none: it reads nothing.
  virtual std::vector<std::string_view> data_settings() const = 0;
  /// What makes a good example after `gradstab data TASK`: "book.txt.gz --vocab-size 2000".
  virtual std::string_view data_example() const noexcept = 0;
  virtual std::optional<DataQuestion> data_question() const = 0;
  /// Prepares the data and says what is in them; `answer_to` is the value of the question, or empty.
  virtual Result<DataReport> describe_data(const TrainOptions& options, const std::string& answer_to,
                                           const PreparationProgress& on_progress) const = 0;
  /// What `gradstab reproduce --scale paper` must be given as data: "the text that the paper trained on:
  /// --data FILE with C4 as JSONL". Empty: nothing.
  virtual std::string_view data_of_the_paper() const noexcept = 0;

  /// The recipe of that name; null if there is none.
  static const Recipe* find(const std::vector<Recipe>& recipes, std::string_view name) noexcept;
};

/// The settings of a run of this task, all of them the defaults.
TrainOptions default_options(const TaskKind& kind);

/// Puts a recipe's settings over the options. Errors: no recipe of that name, with those there are.
Status apply_recipe(TrainOptions& options, std::string_view name);

}  // namespace gradstab::lab
