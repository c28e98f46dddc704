#include "core/step_engine.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/global_norm.hpp"
#include "core/text.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {
namespace {

/// element_count of sizes that nobody has checked: the largest number where the product does not fit.
std::int64_t saturating_count(std::span<const std::int64_t> sizes) noexcept {
  if (std::ranges::find(sizes, 0) != sizes.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    if (__builtin_mul_overflow(count, size, &count)) return std::numeric_limits<std::int64_t>::max();
  }
  return count;
}

}  // namespace

void StepEngine::bind(const ParameterSet& parameters, const Segments& segments, const Links& links,
                      const Backend& backend, const RunOptions& options) {
  backend_ = &backend;
  executor_ = options.executor.get();
  nonfinite_ = options.nonfinite;
  segments_ = segments;
  needs_ = {};
  bool one_batch = may_change_nothing();
  for (const auto& link : links) {
    one_batch = one_batch || link->needs_all_tensors();
    needs_.max_abs = needs_.max_abs || link->needs().max_abs;
  }
  plan_ = make_step_plan(parameters, segments_, one_batch);
  plan_per_tensor_ = {};
  gradients_.assign(parameters.size(), {});
  layouts_.assign(parameters.size(), {});
  measured_.assign(parameters.size(), nullptr);
  memory_.bind(parameters.size());
  tensor_reports_.assign(segments_.rows() ? parameters.size() : 0, {});
  reports_.assign(segments_.count(), {});
  max_abs_.assign(needs_.max_abs ? segments_.count() : 0, 0.0);
  block_sums_.assign(plan_.blocks.size(), 0.0);
  block_max_abs_.assign(needs_.max_abs ? plan_.blocks.size() : 0, 0.0);
}

Status StepEngine::take(const ParameterSet& parameters, std::span<const TensorRef> tensors) {
  if (tensors.size() != parameters.size()) {
    return {StatusCode::shape_mismatch, detail::concat("got ", tensors.size(), " gradients for ",
                                                       parameters.size(), " registered parameters")};
  }
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    GRADSTAB_RETURN_IF_ERROR(take_tensor(parameters[t], tensors[t], t));
  }
  return refuse_shared_memory(parameters);
}

Status StepEngine::take_tensor(const Parameter& parameter, const TensorRef& tensor, std::size_t index) {
  gradients_[index].data = nullptr;
  memory_.set(index, nullptr, 0, true);
  const bool present = tensor.data != nullptr;
  const IndexRange own = segments_.of_tensor(index);
  for (std::size_t s = own.begin; s < own.end; ++s) {
    reports_[s] = {};
    reports_[s].present = present;
  }
  return present ? take_present(parameter, tensor, index) : Status();
}

Status StepEngine::take_present(const Parameter& parameter, const TensorRef& tensor, std::size_t index) {
  const auto refuse = [&](StatusCode code, const auto&... what) {
    return Status(code, detail::concat("gradient of '", parameter.name, "' ", what...));
  };
  const std::size_t pieces = segments_.of_tensor(index).size();
  const bool rows = segments_.rows() && parameter.sizes.size() >= 2 && pieces == row_count(parameter.sizes);
  const bool divided = segments_.rows() && !rows && pieces > 1;
  if (tensor.sparse_values) {
    if (rows || divided) {
      return refuse(StatusCode::unsupported,
                    "is sparse, but a method works per row and cannot tell its rows");
    }
    if (std::ranges::any_of(tensor.sizes, [](std::int64_t size) { return size < 0; })) {
      return refuse(StatusCode::shape_mismatch, "has a negative size in ",
                    shape_text({tensor.sizes.begin(), tensor.sizes.end()}));
    }
    if (const std::int64_t values = saturating_count(tensor.sizes); values > element_count(parameter.sizes)) {
      return refuse(StatusCode::shape_mismatch, "has ", values, " sparse values, more than the ",
                    element_count(parameter.sizes), " elements of ", shape_text(parameter.sizes),
                    "; coalesce it first");
    }
  } else if (!std::ranges::equal(tensor.sizes, parameter.sizes)) {
    return refuse(StatusCode::shape_mismatch, "has shape ",
                  shape_text({tensor.sizes.begin(), tensor.sizes.end()}), ", expected ",
                  shape_text(parameter.sizes));
  }
  if (tensor.device != DeviceType::cpu) {
    return refuse(StatusCode::unsupported, "is on a CUDA device; backend '", backend_->name(),
                  "' reads host memory");
  }
  if (static_cast<std::size_t>(tensor.dtype) >= kDTypeCount) {
    return refuse(StatusCode::unsupported, "has unknown dtype ", static_cast<int>(tensor.dtype));
  }
  GradientView& gradient = gradients_[index];
  gradient.count = element_count(tensor.sizes);
  gradient.layout = nullptr;
  if (!is_row_major(tensor)) GRADSTAB_RETURN_IF_ERROR(take_layout(parameter, tensor, index));
  const bool dense = gradient.layout == nullptr;
  memory_.set(index, tensor.data,
              dense ? static_cast<std::size_t>(gradient.count) * size_of(tensor.dtype) : 0,
              gradient.count == 0);
  if (rows) {
    // The whole was checked above: rows that overlap each other would have been refused.
    const std::int64_t row_count = parameter.sizes[0];
    gradient.count = row_count == 0 ? 0 : gradient.count / row_count;
    gradient.row_stride = tensor.strides.empty() ? gradient.count : tensor.strides[0];
    TensorRef row = tensor;
    row.sizes = tensor.sizes.subspan(1);
    row.strides = tensor.strides.empty() ? tensor.strides : tensor.strides.subspan(1);
    gradient.layout = nullptr;
    if (!is_row_major(row)) GRADSTAB_RETURN_IF_ERROR(take_layout(parameter, row, index));
  }
  if (divided) {
    if (!is_row_major(tensor)) {
      return refuse(StatusCode::unsupported, "is not contiguous, but is divided into ", pieces,
                    " pieces; pass a contiguous copy");
    }
    gradient.count /= static_cast<std::int64_t>(pieces);
    gradient.row_stride = gradient.count;
  }
  gradient.data = static_cast<std::byte*>(tensor.data);
  gradient.dtype = tensor.dtype;
  return {};
}

/// Of a gradient, or the rows of one, whose elements may lie anywhere.
Status StepEngine::take_layout(const Parameter& parameter, const TensorRef& tensor, std::size_t index) {
  auto layout = make_layout(tensor, parameter.name);
  if (!layout) return layout.status();
  if (layout->dense()) return {};
  layouts_[index] = *layout;
  gradients_[index].layout = &layouts_[index];
  return {};
}

/// Two gradients in the same memory would both be scaled there.
Status StepEngine::refuse_shared_memory(const ParameterSet& parameters) {
  const auto shared = memory_.find();
  if (!shared) return {};
  return {StatusCode::unsupported,
          detail::concat("gradients of '", parameters[shared->first].name, "' and '",
                         parameters[shared->second].name,
                         "' share memory and would be transformed twice; register them once")};
}

GradientView StepEngine::view_of(const Block& block) const noexcept {
  return gradients_[block.tensor].row(block.segment - segments_.first()[block.tensor]);
}

/// A gradient with fewer elements than its parameter (sparse values) ends before its last blocks do.
Piece StepEngine::piece_of(const Block& block, const GradientView& view) const noexcept {
  return {block.begin, std::clamp<std::int64_t>(view.count - block.begin, 0, block.count)};
}

/// Runs body(block index) for all blocks of a batch's tasks, which start in the given order.
template <class Body>
void StepEngine::for_each_block(const StepPlan& plan, const Batch& batch, Order order, Body body) {
  struct Context {
    const StepPlan* plan;
    const Body* body;
    IndexRange tasks;
    Order order;
  } context{&plan, &body, batch.tasks, order};
  executor_->run(
      batch.tasks.size(),
      [](void* pointer, std::size_t index) noexcept {
        const Context& shared = *static_cast<const Context*>(pointer);
        const std::size_t task =
            shared.order == Order::forwards ? shared.tasks.begin + index : shared.tasks.end - 1 - index;
        const IndexRange blocks = shared.plan->tasks[task];
        for (std::size_t b = blocks.begin; b < blocks.end; ++b) (*shared.body)(b);
      },
      &context);
}

void StepEngine::measure(const StepPlan& plan, const Batch& batch) {
  if (!measures_) return;
  measure_blocks(plan, batch);
  finish_measuring(batch);
}

void StepEngine::measure_blocks(const StepPlan& plan, const Batch& batch) {
  for_each_block(plan, batch, Order::forwards, [this](std::size_t b) {
    const Block& block = plan_.blocks[b];
    const GradientView& whole = gradients_[block.tensor];
    if (whole.data == nullptr || measured_[block.tensor] == whole.data) return;
    const GradientView view = view_of(block);
    const Piece piece = piece_of(block, view);
    block_sums_[b] = squared_norm(*backend_, view, piece);
    if (needs_.max_abs) block_max_abs_[b] = max_abs(*backend_, view, piece);
  });
}

/// Adds the blocks' partial sums, always in the same order.
void StepEngine::finish_measuring(const Batch& batch) {
  // Squares of float64 values leave the range of a double long before the values do.
  constexpr double kLargestSafe = 0x1p+1000;
  constexpr double kSmallestSafe = 0x1p-900;
  for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
    const GradientView& gradient = gradients_[t];
    if (gradient.data == nullptr) continue;
    const IndexRange own = segments_.of_tensor(t);
    for (std::size_t s = own.begin; s < own.end; ++s) {
      const IndexRange blocks = plan_.segment_blocks[s];
      double sum = 0.0;
      double largest = 0.0;
      for (std::size_t b = blocks.begin; b < blocks.end; ++b) {
        sum += block_sums_[b];
        if (needs_.max_abs && !(block_max_abs_[b] <= largest) && !std::isnan(largest))
          largest = block_max_abs_[b];
      }
      const bool safe = sum > kSmallestSafe && sum < kLargestSafe;
      TensorReport& report = reports_[s];
      report.raw_norm = std::sqrt(sum);
      if (!safe && gradient.dtype == DType::float64) {
        report.raw_norm = wide_range_norm(*backend_, gradient.row(s - own.begin));
      }
      report.finite = std::isfinite(report.raw_norm);
      if (needs_.max_abs) max_abs_[s] = largest;
    }
  }
}

bool StepEngine::any_nonfinite(const Batch& batch) const noexcept {
  return std::any_of(reports_.begin() + static_cast<std::ptrdiff_t>(batch.segments.begin),
                     reports_.begin() + static_cast<std::ptrdiff_t>(batch.segments.end),
                     [](const TensorReport& report) { return !report.finite; });
}

/// Under `skip_tensor` a tensor goes as a whole: a matrix with a NaN in one row is not to be trusted in the
/// others.
void StepEngine::set_aside_nonfinite(const Batch& batch) {
  for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
    const IndexRange own = segments_.of_tensor(t);
    const auto segments = std::span(reports_).subspan(own.begin, own.size());
    if (std::ranges::all_of(segments, &TensorReport::finite)) continue;
    for (TensorReport& report : segments) {
      report.finite = false;
      report.zeroed = true;
    }
  }
}

Status StepEngine::nonfinite_error(const ParameterSet& parameters) const {
  constexpr std::size_t kNamed = 5;
  std::string names;
  std::size_t count = 0;
  for (std::size_t t = 0; t < parameters.size(); ++t) {
    const IndexRange own = segments_.of_tensor(t);
    if (std::ranges::all_of(std::span(reports_).subspan(own.begin, own.size()), &TensorReport::finite))
      continue;
    if (count < kNamed) names += (count ? ", '" : "'") + parameters[t].name + "'";
    ++count;
  }
  if (count > kNamed) names += detail::concat(" and ", count - kNamed, " more");
  return {StatusCode::non_finite, "gradient holds NaN or Inf: " + names};
}

void StepEngine::decide(const Batch& batch, const Links& links) {
  if (nonfinite_ == NonFinitePolicy::skip_tensor) set_aside_nonfinite(batch);
  const IndexRange segments = batch.segments;
  const std::span reports = std::span(reports_).subspan(segments.begin, segments.size());
  const std::span<const double> largest =
      needs_.max_abs ? std::span<const double>(max_abs_).subspan(segments.begin, segments.size())
                     : std::span<const double>();
  for (const auto& link : links) link->decide(segments.begin, reports, largest);
}

void StepEngine::apply(const Batch& batch) {
  const bool changes = std::any_of(
      reports_.begin() + static_cast<std::ptrdiff_t>(batch.segments.begin),
      reports_.begin() + static_cast<std::ptrdiff_t>(batch.segments.end),
      [](const TensorReport& report) { return report.present && (report.zeroed || report.factor != 1.0); });
  if (!changes) return;
  // What was measured last is still in cache, so it comes first.
  for_each_block(plan_, batch, Order::backwards, [this](std::size_t b) {
    const Block& block = plan_.blocks[b];
    const TensorReport& report = reports_[block.segment];
    if (gradients_[block.tensor].data == nullptr) return;
    if (!report.zeroed && report.factor == 1.0) return;
    const GradientView view = view_of(block);
    const Piece piece = piece_of(block, view);
    if (report.zeroed) {
      fill_zero(view, piece);
    } else {
      scale(*backend_, view, piece, report.factor);
    }
  });
}

void StepEngine::hand_over(const StepPlan& plan, const Batch& batch, GradientSink& sink) {
  sink.prepare(batch.tensors, reports_);
  for_each_block(plan, batch, Order::backwards, [this, &sink](std::size_t b) {
    const Block& block = plan_.blocks[b];
    if (gradients_[block.tensor].data == nullptr) return;
    sink.take(block, view_of(block), reports_[block.segment]);
  });
}

Result<StepEngine::Outcome> StepEngine::run(const ParameterSet& parameters, const Links& links,
                                            GradientSink* sink) {
  auto outcome = run_batches(parameters, links, sink);
  // Also after an error: the caller will change the gradients that were at fault.
  std::ranges::fill(measured_, nullptr);
  return outcome;
}

Result<StepEngine::Outcome> StepEngine::run_batches(const ParameterSet& parameters, const Links& links,
                                                    GradientSink* sink) {
  const auto finish = [&](const Batch& batch) {
    decide(batch, links);
    sink != nullptr ? hand_over(plan_, batch, *sink) : apply(batch);
  };
  Outcome outcome = Outcome::done;
  if (may_change_nothing() && !plan_.batches.empty()) {
    const Batch& everything = plan_.batches.front();
    measure(plan_, everything);
    if (any_nonfinite(everything)) {
      if (nonfinite_ == NonFinitePolicy::raise) return nonfinite_error(parameters);
      outcome = Outcome::skipped;
    } else {
      finish(everything);
    }
  } else {
    for (const Batch& batch : plan_.batches) {
      measure(plan_, batch);
      finish(batch);
    }
  }
  return outcome;
}

const StepPlan& StepEngine::plan_per_tensor(const ParameterSet& parameters) {
  if (plan_per_tensor_.batches.empty()) plan_per_tensor_ = make_plan_per_tensor(parameters, segments_);
  return plan_per_tensor_;
}

Status StepEngine::measure_one(const ParameterSet& parameters, std::size_t tensor,
                               const TensorRef& gradient) {
  GRADSTAB_RETURN_IF_ERROR(take_tensor(parameters[tensor], gradient, tensor));
  const StepPlan& plan = plan_per_tensor(parameters);
  measured_[tensor] = nullptr;
  measure_blocks(plan, plan.batches[tensor]);
  measured_[tensor] = gradient.data;
  return {};
}

Status StepEngine::take_one(const ParameterSet& parameters, std::size_t tensor, const TensorRef& gradient) {
  return take_tensor(parameters[tensor], gradient, tensor);
}

Result<TensorReport> StepEngine::run_one(const ParameterSet& parameters, std::size_t tensor,
                                         const Links& links, GradientSink& sink) {
  const StepPlan& plan = plan_per_tensor(parameters);
  const Batch& batch = plan.batches[tensor];
  measure(plan, batch);
  measured_[tensor] = nullptr;
  if (nonfinite_ == NonFinitePolicy::raise && any_nonfinite(batch)) {
    return Status(StatusCode::non_finite, "gradient holds NaN or Inf: '" + parameters[tensor].name + "'");
  }
  decide(batch, links);
  hand_over(plan, batch, sink);
  return report_of(tensor);
}

namespace {

/// What the segments of one tensor amount to.
TensorReport combined(std::span<const TensorReport> segments) noexcept {
  TensorReport tensor;
  tensor.raw_norm = root_of_squares(segments.size(), [&](std::size_t i) { return segments[i].raw_norm; });
  for (const TensorReport& segment : segments) {
    tensor.present = tensor.present || segment.present;
    tensor.finite = tensor.finite && segment.finite;
    tensor.spike = tensor.spike || segment.spike;
    tensor.zeroed = tensor.zeroed || segment.zeroed;
  }
  const double after = root_of_squares(segments.size(), [&](std::size_t i) { return segments[i].norm(); });
  if (tensor.raw_norm > 0.0 && std::isfinite(after / tensor.raw_norm))
    tensor.factor = after / tensor.raw_norm;
  return tensor;
}

}  // namespace

TensorReport StepEngine::report_of(std::size_t tensor) const noexcept {
  const IndexRange own = segments_.of_tensor(tensor);
  if (!segments_.rows()) return reports_[own.begin];
  TensorReport report = combined(std::span(reports_).subspan(own.begin, own.size()));
  report.present = gradients_[tensor].data != nullptr;
  return report;
}

StepReport StepEngine::summarize() {
  StepReport summary;
  if (segments_.rows()) {
    for (std::size_t t = 0; t < tensor_reports_.size(); ++t) tensor_reports_[t] = report_of(t);
    summary.tensors = tensor_reports_;
    summary.rows = reports_;
    summary.first_row = segments_.first();
  } else {
    summary.tensors = reports_;
  }
  const auto global = [&](auto norm) {
    return root_of_squares(summary.tensors.size(), [&](std::size_t t) {
      const TensorReport& report = summary.tensors[t];
      return report.present && report.finite ? norm(report) : 0.0;
    });
  };
  summary.raw_global_norm = global([](const TensorReport& report) { return report.raw_norm; });
  summary.global_norm = global([](const TensorReport& report) { return report.norm(); });
  for (const TensorReport& report : summary.tensors) {
    summary.spikes += report.spike ? 1 : 0;
    summary.nonfinite += report.finite ? 0 : 1;
  }
  return summary;
}

}  // namespace gradstab
