// The loss of a batch of pictures, and what an evaluation counts.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace gradstab::lab::vision {

/// Each picture is labelled, and may be mixed with another one: its target is `own` of its label and the rest
/// of its partner's (Zhang et al. 2018, arXiv 1710.09412).
struct Targets {
  torch::Tensor labels;    ///< int64 [batch]
  torch::Tensor partners;  ///< the same; undefined: nothing is mixed
  double own = 1.0;        ///< in [0, 1]
};

/// The mean cross-entropy of `logits` [batch, classes], in nats. `smoothing` of each target is spread over
/// all classes (Szegedy et al. 2016, arXiv 1512.00567). Cross-entropy is linear in its target: smoothing and
/// mixing can be done in either order.
torch::Tensor classification_loss(const torch::Tensor& logits, const Targets& targets, double smoothing);

/// Sums over the pictures of an evaluation: the batch's size changes no score.
class Scores {
 public:
  /// Pictures are right among five if their class is among the five largest logits, of which equal ones count
  /// against it.
  static constexpr std::int64_t kTop = 5;
  /// What is predicted by logits that are no numbers. No label.
  static constexpr std::int64_t kNoPrediction = -1;

  explicit Scores(std::int64_t classes) : classes_(classes) {}

  /// `logits` [batch, classes] of pictures with `labels` [batch], both on the CPU.
  void add(const torch::Tensor& logits, const torch::Tensor& labels);

  std::int64_t classes() const noexcept { return classes_; }
  std::int64_t count() const noexcept { return static_cast<std::int64_t>(labels_.size()); }
  /// In percent; no number without pictures.
  double top1() const noexcept;
  double top5() const noexcept;
  /// Mean cross-entropy, in nats.
  double loss() const noexcept;
  /// Of each picture, in their order.
  const std::vector<std::int64_t>& labels() const noexcept { return labels_; }
  const std::vector<std::int64_t>& predictions() const noexcept { return predictions_; }
  /// The probability that each picture's prediction was given.
  const std::vector<float>& confidences() const noexcept { return confidences_; }

 private:
  std::int64_t classes_;
  std::int64_t among_top_ = 0;
  double loss_ = 0.0;
  std::vector<std::int64_t> labels_, predictions_;
  std::vector<float> confidences_;
};

}  // namespace gradstab::lab::vision
