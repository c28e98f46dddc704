#include "lab/vision/classification_loss.hpp"

#include <limits>
#include <type_traits>

namespace gradstab::lab::vision {
namespace {

using torch::Tensor;

/// -log p of each picture's class, [batch].
Tensor of_class(const Tensor& log_probabilities, const Tensor& classes) {
  return -log_probabilities.gather(1, classes.unsqueeze(1)).squeeze(1);
}

double percent(std::int64_t part, std::int64_t count) noexcept {
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  return 100.0 * static_cast<double>(part) / static_cast<double>(count);
}

}  // namespace

Tensor classification_loss(const Tensor& logits, const Targets& targets, double smoothing) {
  const Tensor log_probabilities = torch::log_softmax(logits, 1);
  Tensor loss = of_class(log_probabilities, targets.labels);
  if (targets.partners.defined())
    loss = targets.own * loss + (1.0 - targets.own) * of_class(log_probabilities, targets.partners);
  if (smoothing > 0.0) loss = (1.0 - smoothing) * loss - smoothing * log_probabilities.mean(1);
  return loss.mean();
}

void Scores::add(const Tensor& logits, const Tensor& labels) {
  const Tensor log_probabilities = torch::log_softmax(logits.to(torch::kDouble), 1);
  const Tensor of_own = log_probabilities.gather(1, labels.unsqueeze(1));
  loss_ -= of_own.sum().item<double>();
  // The class itself is not above itself; a logit that is no number is above nothing, and nothing is right.
  const Tensor not_below = log_probabilities.ge(of_own).sum(1);
  among_top_ += (not_below.le(kTop) & not_below.gt(0)).sum().item<std::int64_t>();
  // Of logits that are no numbers max() takes the first, which may be right.
  const auto [highest, places] = log_probabilities.max(1);
  const Tensor none = highest.isnan();
  const Tensor predictions = places.masked_fill(none, kNoPrediction);
  const Tensor confidences = highest.exp().masked_fill(none, 0.0).to(torch::kFloat);
  const auto append = [](auto& to, const Tensor& from) {
    using Number = typename std::remove_reference_t<decltype(to)>::value_type;
    const Tensor values = from.contiguous();
    to.insert(to.end(), values.data_ptr<Number>(), values.data_ptr<Number>() + values.numel());
  };
  append(labels_, labels);
  append(predictions_, predictions);
  append(confidences_, confidences);
}

double Scores::top1() const noexcept {
  std::int64_t right = 0;
  for (std::size_t i = 0; i < labels_.size(); ++i) right += labels_[i] == predictions_[i] ? 1 : 0;
  return percent(right, count());
}

double Scores::top5() const noexcept {
  return percent(among_top_, count());
}

double Scores::loss() const noexcept {
  return count() == 0 ? std::numeric_limits<double>::quiet_NaN() : loss_ / static_cast<double>(count());
}

}  // namespace gradstab::lab::vision
