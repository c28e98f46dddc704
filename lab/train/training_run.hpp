// What the trainer knows and does while it trains: shared by the files that each hold a part of it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lab/run/checkpoint.hpp"
#include "lab/run/progress.hpp"
#include "lab/run/run_directory.hpp"
#include "lab/run/step_line.hpp"
#include "lab/train/device.hpp"
#include "lab/train/injected_spikes.hpp"
#include "lab/train/kept_weights.hpp"
#include "lab/train/loss_scaler.hpp"
#include "lab/train/optimizer_factory.hpp"
#include "lab/train/processes.hpp"
#include "lab/train/run_length.hpp"
#include "lab/train/shared_update.hpp"
#include "lab/train/stored_state.hpp"
#include "lab/train/task.hpp"
#include "lab/train/trainer.hpp"

namespace gradstab::lab {

/// Updates that were timed together.
struct Cycle {
  std::int64_t updates = 0, samples = 0;
  double seconds = 0.0;

  void add(std::int64_t more_samples, double more_seconds) {
    updates += 1;
    samples += more_samples;
    seconds += more_seconds;
  }
  double speed() const { return static_cast<double>(samples) / seconds; }
};

/// One run of the trainer.
class TrainingRun {
 public:
  TrainingRun(Task& task, TrainRequest request, RunLength length)
      : task_(task),
        request_(std::move(request)),
        options_(request_.options),
        device_(device_named(options_.device).value()),
        length_(length),
        injected_spikes_(parse_injected_spikes(options_.inject_spikes).value()),
        optimizer_(make_optimizer(options_, task.model(), task.groups(), task.attention_heads())),
        processes_(request_.processes != nullptr ? *request_.processes : alone_) {
    if (needs_loss_scaling(options_.number_format())) loss_scaler_.emplace(loss_scaler_options(options_));
    if (!processes_.alone()) norm_statistics_.emplace(task.model());
    // What is only evaluated and written is kept where that is done.
    if (writes() && options_.average_decay > 0.0) average_.emplace(task.model(), kAveragePrefix);
    if (writes() && options_.select == "best") best_.emplace(task.model(), kBestPrefix);
    task.model().train();
  }

  Result<TrainResult> train();

 private:
  // training_run.cpp: from the begin to the end
  Json describe() const;
  Result<TrainResult> train_here();
  Status begin();
  Status check_alike();

  // training_run_checkpoint.cpp
  Status checkpoint() const;
  Status restore();
  Status expect_weights(CheckpointLoader& loader);

  // training_run_update.cpp
  Result<std::optional<double>> update();
  Result<torch::Tensor> backward();
  Result<torch::Tensor> micro_batch_loss(std::int64_t i);
  Result<torch::Tensor> with_the_others(const Result<torch::Tensor>& loss);
  bool unscale();
  void inject_spike();

  // training_run_evaluation.cpp
  Result<Evaluation> evaluation(Extent extent);
  Status evaluate();
  Result<std::vector<double>> judged_values();
  void add_values(Json& json, const std::string& prefix, const std::vector<double>& values) const;
  Result<TrainResult> finish(TrainOutcome outcome);

  /// Evaluates and writes: the first of several processes.
  bool writes() const noexcept { return processes_.is_first(); }
  const TaskInfo& info() const noexcept { return task_.info(); }
  /// The index of a micro-batch of the next update.
  std::uint64_t micro_batch(std::int64_t i) const {
    return static_cast<std::uint64_t>(progress_.step * options_.accumulation + i);
  }
  bool stopping() const { return request_.should_stop && request_.should_stop(); }
  /// Samples per second of the latest cycle, or of the first while it goes on.
  double speed() const { return speeds_.empty() ? cycle_.speed() : speeds_.back(); }

  Task& task_;
  TrainRequest request_;
  const TrainOptions& options_;
  torch::Device device_;
  c10::DeviceGuard current_device_{device_};  // so that what asks for the current one gets this
  RunLength length_;
  std::vector<InjectedSpike> injected_spikes_;
  std::unique_ptr<TrainingOptimizer> optimizer_;
  Processes alone_;
  Processes& processes_;
  std::optional<SharedNormStatistics> norm_statistics_;  // with several processes
  bool told_to_stop_ = false;                            // one of several processes was
  std::optional<LossScaler> loss_scaler_;
  std::optional<KeptWeights> average_;
  std::optional<KeptWeights> best_;
  std::optional<RunDirectory> directory_;
  Progress progress_;
  bool full_values_ = false;       // progress_.values are those of Extent::full
  Json exhibits_ = Json::array();  // of the latest evaluation that counts
  std::vector<double> speeds_;     // of whole cycles
  Cycle cycle_;                    // the one that is going on
  StepFigures step_;               // of the latest update
};

}  // namespace gradstab::lab
