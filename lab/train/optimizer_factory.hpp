// From settings to a stabilized optimizer.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <vector>

#include "gradstab/libtorch.hpp"
#include "lab/train/stored_state.hpp"
#include "lab/train/task.hpp"
#include "lab/train/train_options.hpp"

namespace gradstab::lab {

/// An optimizer with the transform in front, and the report of its last step.
class TrainingOptimizer {
 public:
  virtual ~TrainingOptimizer() = default;

  virtual torch::optim::Optimizer& optimizer() = 0;

  /// Of all groups, each times its own scale.
  void set_learning_rate(double lr);

  /// Adds its state.
  virtual Status save(CheckpointFiller& filler) const = 0;

  /// Looks at all of its state in a checkpoint, and changes nothing: what `load` and then `loader.load()`
  /// will do. Errors: state of other parameters or of another optimizer.
  virtual Status expect(const Checkpoint& checkpoint, CheckpointLoader& loader) = 0;
  /// After `expect`. Throws gradstab::Error where the library's own state does not fit.
  virtual void load(const Checkpoint& checkpoint) = 0;

  /// Before the backward of a micro-batch; `last` is the one after which the parameters are updated.
  virtual void before_backward(bool last) = 0;

  /// After the last backward. Throws gradstab::Error.
  virtual void step() = 0;

  virtual const StepReport& report() const = 0;
  virtual const ParameterSet& parameters() const = 0;

 protected:
  std::vector<double> lr_scales_;  ///< of the groups; of those beyond, 1
};

/// `groups` are the task's; parameters that are in none of them form one of their own. `attention` is that of
/// a transformer, for Adam-mini. Throws gradstab::Error on invalid settings.
std::unique_ptr<TrainingOptimizer> make_optimizer(const TrainOptions& options, const torch::nn::Module& model,
                                                  const std::vector<ParameterGroup>& groups = {},
                                                  const std::optional<AttentionHeads>& attention = {});

}  // namespace gradstab::lab
