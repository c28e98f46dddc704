#include "lab/inspect/readers/joiner.hpp"

#include <cmath>

namespace gradstab::lab::inspect {

bool Joiner::add(const Reading& reading) {
  const bool has_norm = reading.norm || !reading.tensors.empty();
  if (!has_norm && !reading.loss) return more_;
  const bool same = pending_ && reading.step && step_ == reading.step;
  if (!same) flush();
  if (!pending_) {
    pending_ = true;
    step_ = reading.step;
    norm_.reset();
    loss_.reset();
    tensors_.clear();
    largest_tensor_.clear();
  }
  if (reading.norm && norm_) ++facts_.repeated;
  if (!norm_) norm_ = reading.norm;
  if (!loss_) loss_ = reading.loss;
  // Norms of tensors may come one by one.
  for (const TensorNorm& each : reading.tensors) tensors_.push_back(each);
  if (largest_tensor_.empty()) largest_tensor_ = reading.largest_tensor;
  return more_;
}

void Joiner::flush() {
  if (!pending_) return;
  pending_ = false;
  if (!norm_ && !tensors_.empty()) {
    double squares = 0.0;
    for (const TensorNorm& each : tensors_) squares += each.norm * each.norm;
    norm_ = std::sqrt(squares);
  }
  if (!norm_) {
    ++facts_.without_norm;
    loss_since_norm_ = loss_;
    return;
  }
  TraceRecord record;
  record.step = step_.value_or(last_step_ + 1);
  record.norm = facts_.squared ? std::sqrt(*norm_) : *norm_;
  record.loss = loss_ ? loss_ : loss_since_norm_;
  record.tensors = tensors_;
  record.largest_tensor = largest_tensor_;
  loss_since_norm_.reset();
  if (records_ > 0 && record.step == last_step_) {
    ++facts_.repeated;
    return;
  }
  if (records_ > 0 && record.step < last_step_) ++facts_.fell_back;
  last_step_ = record.step;
  ++records_;
  more_ = more_ && sink_.record(record);
}

}  // namespace gradstab::lab::inspect
