// Every setting of a training run, named once: those that every run has, and those of its task.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/nn/precision.hpp"
#include "lab/support/json.hpp"
#include "lab/train/loss_scaler.hpp"
#include "lab/train/task_settings.hpp"

namespace gradstab::lab {

class TaskKind;

/// Settings by name, as a command line would give them.
using SettingTexts = std::vector<std::pair<std::string, std::string>>;

/// Both; of a key that both have, the second counts.
SettingTexts joined(SettingTexts first, const SettingTexts& second);

/// An optimizer that a run can have.
struct OptimizerChoice {
  std::string_view name;
  double states;         ///< numbers that it keeps per parameter (Optimizer::ParameterState)
  bool libtorch_has_it;  ///< so that optimizer_engine may be libtorch
};

/// The one list of them; make_optimizer makes each.
inline constexpr OptimizerChoice kOptimizerChoices[] = {
    {"adamw", 2.0, true},      {"adam", 2.0, true},  {"sgd", 1.0, true},         {"lion", 1.0, false},
    {"adam_mini", 1.0, false}, {"spam", 2.0, false}, {"stable_spam", 2.0, false}};

/// Throws gradstab::Error for another name.
const OptimizerChoice& optimizer_choice(std::string_view name);

/// Settings of `gradstab train`. Stored in a run's run.json, from which an interrupted run continues. Those
/// of a task begin as its default_options (task_kind.hpp).
struct TrainOptions {
  const TaskKind* kind =
      nullptr;        ///< the task; null: settings of no task, which only the trainer's tests have
  TaskSettings task;  ///< its own settings

  std::string precision = "fp32";
  double loss_scale_init = 65536.0;
  std::int64_t loss_scale_growth_interval = 2000;

  std::string optimizer = "adamw";
  std::string optimizer_engine = "fused";
  bool step_in_backward = false;
  double lr = 1e-3;
  double weight_decay = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double adam_epsilon = 1e-8;
  std::int64_t reset_interval = 500;

  std::string transform = "stabilize";
  /// Settings of its methods that were given beside it (transform_factory.hpp), not yet taken into it. A run
  /// has none; the base of a sweep keeps them for the transforms of its points.
  SettingTexts shorthand = {};
  std::string nonfinite = "default";

  std::int64_t steps = 1000;
  std::int64_t epochs = 0;
  std::int64_t warmup = 100;
  std::int64_t warmup_epochs = 0;
  double warmup_start = 0.0;
  bool warmup_hold = false;
  std::string schedule = "cosine";
  bool lr_per_epoch = false;
  double min_lr_ratio = 0.1;
  double decay_factor = 0.1;
  std::int64_t decay_every = 30;
  std::int64_t decay_from = 0;
  double cycle_rise = 0.3;
  double average_decay = 0.0;
  std::string select = "last";
  std::int64_t batch = 16;
  std::int64_t accumulation = 1;
  std::uint64_t seed = 0;

  std::string inject_spikes;

  std::int64_t eval_every = 100;
  std::int64_t checkpoint_every = 100;
  std::int64_t metrics_every = 1;
  bool tensorboard = false;
  std::string device = "cpu";
  int threads = 0;

  /// Errors name the setting, its value and what was expected.
  Status validate() const;

  /// `precision`, which is valid, as what it names.
  Precision number_format() const { return precision_named(precision).value(); }

  /// Whether `device`, which is valid, is another than the CPU.
  bool on_device() const noexcept { return device != "cpu"; }
};

/// What `--batch` counts, of the task where the options have one.
const char* batch_help(const TrainOptions& options) noexcept;

/// What `--epochs` counts, of the task where the options have one.
const char* epochs_help(const TrainOptions& options) noexcept;

/// Whether the task has epochs (task_kind.hpp), and with them the settings that count in epochs. Options of
/// no task have all settings.
bool has_epochs(const TrainOptions& options) noexcept;

/// Calls visit(name, field, help) for every setting, in the order of the help text: those of the task, then
/// those that every run has. The command line, run.json and the report all take their names from here.
template <class Options, class Visit>
void for_each_setting(Options& options, Visit visit) {
  options.task.for_each(visit);
  visit("precision", options.precision,
        "fp32; bf16 or fp16 (activations and their gradients, on the CPU simulated in f32; fp16 with loss "
        "scaling); "
        "fp4 or int4 (weights and inputs of the projections; quantization-aware training)");
  visit("loss_scale_init", options.loss_scale_init, "fp16: the loss scale to begin with");
  visit("loss_scale_growth_interval", options.loss_scale_growth_interval,
        "fp16: updates in a row without overflow after which the loss scale doubles");
  visit("optimizer", options.optimizer,
        "adamw, adam (L2 weight decay), sgd (momentum = beta1), lion, adam_mini, spam or stable_spam");
  visit("optimizer_engine", options.optimizer_engine,
        "fused (gradstab's own) or libtorch (adamw, adam and sgd only)");
  visit("step_in_backward", options.step_in_backward,
        "update each parameter as soon as its gradient is complete, and free the gradient");
  visit("lr", options.lr, "peak learning rate");
  visit("weight_decay", options.weight_decay, "weight decay; decoupled for adamw, L2 otherwise");
  visit("beta1", options.beta1, "decay of the optimizer's first moment");
  visit("beta2", options.beta2, "decay of the optimizer's second moment");
  visit("adam_epsilon", options.adam_epsilon, "added to the root of the optimizer's second moment");
  visit("reset_interval", options.reset_interval,
        "spam, stable_spam: updates after which the moments start afresh; 0: never");
  visit("transform", options.transform,
        "what happens to the gradients: none, or a chain of methods with their settings, as in "
        "clip_by_global_norm(max_norm=0.5)+stabilize; `gradstab methods` lists them");
  visit("nonfinite", options.nonfinite,
        "NaN or Inf in a gradient: skip_tensor, skip_step, raise, pass_through; default: skip_tensor for "
        "stabilize, pass_through (as PyTorch) otherwise");
  visit("steps", options.steps, "optimizer updates");
  const bool epochs = has_epochs(options);
  if (epochs) visit("epochs", options.epochs, epochs_help(options));
  visit("warmup", options.warmup, "updates of linear learning-rate warm-up");
  if (epochs) visit("warmup_epochs", options.warmup_epochs, "the same in epochs; 0: given by warmup");
  visit("warmup_start", options.warmup_start, "warm-up begins at this fraction of the peak");
  visit("warmup_hold", options.warmup_hold, "stay at that fraction during the warm-up, and do not rise");
  visit("schedule", options.schedule,
        epochs
            ? "learning rate after the warm-up: cosine, linear, constant, step, exponential or one_cycle "
              "(without a warm-up)"
            : "learning rate after the warm-up: cosine, linear, constant or one_cycle (without a warm-up)");
  visit("min_lr_ratio", options.min_lr_ratio,
        "cosine, linear: the learning rate at the end, as a fraction of the peak");
  if (epochs) {
    visit("lr_per_epoch", options.lr_per_epoch,
          "the learning rate changes only between epochs: all updates of an epoch have that of its first "
          "update");
    visit("decay_factor", options.decay_factor, "step, exponential: factor of each decay");
    visit("decay_every", options.decay_every, "step: epochs between two decays");
    visit("decay_from", options.decay_from, "exponential: epochs at the peak after the first");
  }
  visit("cycle_rise", options.cycle_rise, "one_cycle: share of the run in which the rate rises");
  visit("average_decay", options.average_decay,
        "evaluate and keep a running average of the weights with this decay; 0: the weights themselves");
  visit("select", options.select,
        "weights that are kept and scored at the end: last, or best (those of the best evaluation)");
  visit("batch", options.batch, batch_help(options));
  visit("accumulation", options.accumulation, "micro-batches per update");
  visit("seed", options.seed, "seed of the weights and of the order of the data");
  visit("inject_spikes", options.inject_spikes,
        "multiply gradients: UPDATE:FACTOR or random:PROBABILITY:FACTOR, several separated by commas, for "
        "example 100:1000; the factor nan puts one NaN into one tensor instead");
  visit("eval_every", options.eval_every,
        epochs ? "updates between evaluations; 0: one after every epoch" : "updates between evaluations");
  visit("checkpoint_every", options.checkpoint_every,
        epochs ? "updates between checkpoints; 0: one after every epoch" : "updates between checkpoints");
  visit("metrics_every", options.metrics_every,
        "updates from one line of metrics.jsonl to the next; a line describes one update, and counts the "
        "spikes of all since the line before");
  visit("tensorboard", options.tensorboard,
        "write the same numbers to a TensorBoard event file in the folder of the run; not in a sweep");
  visit("device", options.device, "device that trains: cpu, cuda (the first GPU that is visible) or cuda:N");
  visit("threads", options.threads, "CPU threads; 0: all cores");
}

/// "--weight-decay" of the setting weight_decay.
std::string flag_of(std::string_view setting);

LossScalerOptions loss_scaler_options(const TrainOptions& options);

Json to_json(const TrainOptions& options);

/// Settings of a run of that task. Also what older versions and axes of sweeps have beside the transform,
/// which is taken into it. A setting that is missing has its default: the run is older than it. Errors: a
/// setting of the wrong type, one that is not known, a value that does not fit; also an earlier complaint
/// about the same document.
Result<TrainOptions> train_options_from_json(const TaskKind& kind, const JsonReader& settings);
Result<TrainOptions> train_options_from_json(const TaskKind& kind, const Json& settings);

/// The names of all settings of this task's runs, without shorthands.
std::vector<std::string> setting_names(const TrainOptions& options);

/// The setting of that name that is most like `name`.
std::string nearest_setting(const TrainOptions& options, const std::string& name);

/// Gives one setting the value that `text` says, as a command line would. Errors: no such setting, with the
/// nearest one of this task; what the
/// setting cannot hold ("expected a whole number, got '1e3'"). Whether the value is a good one, `validate`
/// tells.
Status set_setting(TrainOptions& options, std::string_view name, std::string_view text);

/// `settings`, as any version wrote them, in the words of today: what older versions had beside the transform
/// is there where it was not the default. What is no such setting stays as it is.
Json in_words_of_today(Json settings);

/// Whether `settings`, as a run wrote them, are these. Threads may differ: they change the order of sums
/// inside LibTorch, not what is learned. The device may not: it rounds in other places.
bool are_settings_of(const TrainOptions& options, const Json& settings);

}  // namespace gradstab::lab
