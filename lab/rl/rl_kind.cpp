#include "lab/rl/rl_kind.hpp"

#include <fmt/format.h>

#include "lab/rl/environments/environment.hpp"
#include "lab/rl/rl_recipes.hpp"
#include "lab/rl/rl_settings.hpp"
#include "lab/rl/rl_time.hpp"

namespace gradstab::lab::rl {
namespace {

class RlKind final : public TaskKind {
 public:
  std::string_view name() const noexcept override { return "rl"; }
  std::string_view summary() const noexcept override {
    return "train a policy by PPO in a MuJoCo environment";
  }
  bool has_epochs() const noexcept override { return true; }
  bool trains_on_gpu() const noexcept override { return false; }
  const char* epochs_help() const noexcept override {
    return "length in collects, with all passes over each, instead of steps; 0: given by steps. A collect is "
           "environments * horizon environment steps";
  }
  std::string_view example() const noexcept override { return "--recipe cpu --transform stabilize"; }
  const char* batch_help() const noexcept override { return "environment steps per minibatch"; }

  TaskInfo info() const override {
    TaskInfo info;
    info.name = name();
    info.sample = "environment_steps";
    info.held_out = "in episodes of its own";
    info.loss_unit = "";
    info.loss_spike = 0.0;
    info.metrics = {
        {.key = "return",
         .title = "Return",
         .noun = "return",
         .unit = "",
         .better = Better::higher,
         .digits = 1,
         .meaning = "The mean of the sums of rewards of an evaluation's episodes, in which actions "
                    "are drawn as in training."},
        {.key = "return_deviation",
         .title = "Deviation of the return",
         .noun = "deviation of the return",
         .unit = "",
         .better = Better::lower,
         .digits = 1,
         .meaning = "The standard deviation of these sums."},
        {.key = "episode_length",
         .title = "Episode length",
         .noun = "episode length",
         .unit = "steps",
         .better = Better::higher,
         .digits = 1,
         .meaning = "The mean length of these episodes. They end after 1,000 steps at the latest."}};
    return info;
  }

  void set_defaults(TrainOptions& options) const override {
    options.task = TaskSettings(RlSettings());
    options.optimizer = "adam";
    options.lr = 3e-4;
    options.schedule = "linear";
    options.min_lr_ratio = 0.0;
    options.lr_per_epoch = true;
    options.batch = 64;
    options.warmup = 0;
    options.steps = 489 * 320;  // a million environment steps, of as many collects as that takes
    options.eval_every = 4800;
    options.checkpoint_every = 4800;
  }
  std::vector<Recipe> recipes() const override { return rl_recipes(); }
  Status validate(const TrainOptions& options) const override { return validate_rl(options); }

  std::string model_name(const TrainOptions& options) const override {
    return environment_name(rl_settings(options).environment).value();
  }
  std::string update_text(const TrainOptions& options) const override {
    const RlSettings& settings = rl_settings(options);
    return fmt::format("{} of {} environment steps, PPO in {}", options.batch, samples_per_collect(settings),
                       environment_name(settings.environment).value());
  }
  ModelSize model_size(const TrainOptions& options) const override {
    // Of an observation and an action, no more than 128 numbers; what is much is the width.
    const auto width = static_cast<double>(rl_settings(options).width);
    return {2.0 * width * (width + 128.0), 4.0 * width * static_cast<double>(options.batch)};
  }
  std::optional<double> core_seconds(const TrainOptions& options) const override {
    return rl_core_seconds(options);
  }
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

const TaskKind& rl_kind() {
  static const RlKind kind;
  return kind;
}

}  // namespace gradstab::lab::rl
