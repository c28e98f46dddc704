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
  stages_.assign(1, {});
  std::vector<double> powers;
  bool one_batch = may_change_nothing();
  for (const auto& link : links) {
    one_batch = one_batch || link->needs_all_tensors();
    const NormNeeds needs = link->needs();
    if (needs.power > 0.0) powers.push_back(needs.power);
    needs_.max_abs = needs_.max_abs || needs.max_abs || needs.power > 0.0;
    needs_.parameter_norms = needs_.parameter_norms || needs.parameter_norms;
    if (auto* elements = link->as_element_transform()) stages_.push_back({elements, {}});
    if (auto* norms = link->as_norm_transform()) stages_.back().norms.push_back(norms);
  }
  plan_ = make_step_plan(parameters, segments_, one_batch);
  plan_per_tensor_ = {};
  gradients_.assign(parameters.size(), {});
  layouts_.assign(parameters.size(), {});
  parameters_.assign(needs_.parameter_norms ? parameters.size() : 0, {});
  parameter_layouts_.assign(parameters_.size(), {});
  measured_.assign(parameters.size(), nullptr);
  memory_.bind(parameters.size());
  tensor_reports_.assign(segments_.rows() ? parameters.size() : 0, {});
  reports_.assign(segments_.count(), {});
  max_abs_.assign(needs_.max_abs ? segments_.count() : 0, 0.0);
  parameter_norms_.assign(needs_.parameter_norms ? segments_.count() : 0, 0.0);
  raw_.assign(stages_.size() > 1 ? segments_.count() : 0, {});
  block_sums_.assign(plan_.blocks.size(), 0.0);
  block_max_abs_.assign(needs_.max_abs ? plan_.blocks.size() : 0, 0.0);
  block_parameter_sums_.assign(needs_.parameter_norms ? plan_.blocks.size() : 0, 0.0);
  power_norms_.bind(std::move(powers), segments_.count(), plan_.blocks.size());
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
  for (const Stage& stage : stages_) {
    if (stage.elements != nullptr) GRADSTAB_RETURN_IF_ERROR(stage.elements->check(parameter, tensor));
  }
  const auto dense = read_view(parameter, tensor, index, "gradient of", gradients_[index], layouts_[index]);
  if (!dense) return dense.status();
  const std::int64_t count = element_count(tensor.sizes);
  memory_.set(index, tensor.data, *dense ? static_cast<std::size_t>(count) * size_of(tensor.dtype) : 0,
              count == 0);
  return {};
}

Status StepEngine::take_parameters(const ParameterSet& parameters, std::span<const TensorRef> tensors) {
  if (tensors.size() != parameters.size()) {
    return {StatusCode::shape_mismatch, detail::concat("got ", tensors.size(), " parameters for ",
                                                       parameters.size(), " registered ones")};
  }
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    if (gradients_[t].data != nullptr) GRADSTAB_RETURN_IF_ERROR(take_parameter(parameters, t, tensors[t]));
  }
  return {};
}

Status StepEngine::take_parameter(const ParameterSet& parameters, std::size_t index,
                                  const TensorRef& tensor) {
  const Parameter& parameter = parameters[index];
  if (tensor.data == nullptr || tensor.sparse_values) {
    return {StatusCode::invalid_argument,
            detail::concat("parameter '", parameter.name, "' has a gradient but ",
                           tensor.data == nullptr ? "no data" : "is sparse itself")};
  }
  return read_view(parameter, tensor, index, "parameter", parameters_[index], parameter_layouts_[index])
      .status();
}

/// Makes a tensor ready for kernels, and says whether it lies in memory without gaps. `view.data` is set
/// last, and not where the tensor is refused.
Result<bool> StepEngine::read_view(const Parameter& parameter, const TensorRef& tensor, std::size_t index,
                                   std::string_view what_it_is, GradientView& view, Layout& layout) const {
  const auto refuse = [&](StatusCode code, const auto&... what) {
    return Status(code, detail::concat(what_it_is, " '", parameter.name, "' ", what...));
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
  // Of the tensor, or of one of its rows, whose elements may lie anywhere.
  const auto take_layout = [&](const TensorRef& part) -> Status {
    auto made = make_layout(part, parameter.name, what_it_is);
    if (!made) return made.status();
    if (made->dense()) return {};
    layout = *made;
    view.layout = &layout;
    return {};
  };
  view.count = element_count(tensor.sizes);
  view.layout = nullptr;
  if (!is_row_major(tensor)) GRADSTAB_RETURN_IF_ERROR(take_layout(tensor));
  const bool dense = view.layout == nullptr;
  if (rows) {
    // The whole was checked above: rows that overlap each other would have been refused.
    const std::int64_t row_count = parameter.sizes[0];
    view.count = row_count == 0 ? 0 : view.count / row_count;
    view.row_stride = tensor.strides.empty() ? view.count : tensor.strides[0];
    TensorRef row = tensor;
    row.sizes = tensor.sizes.subspan(1);
    row.strides = tensor.strides.empty() ? tensor.strides : tensor.strides.subspan(1);
    view.layout = nullptr;
    if (!is_row_major(row)) GRADSTAB_RETURN_IF_ERROR(take_layout(row));
  }
  if (divided) {
    if (!is_row_major(tensor)) {
      return refuse(StatusCode::unsupported, "is not contiguous, but is divided into ", pieces,
                    " pieces; pass a contiguous copy");
    }
    view.count /= static_cast<std::int64_t>(pieces);
    view.row_stride = view.count;
  }
  view.data = static_cast<std::byte*>(tensor.data);
  view.dtype = tensor.dtype;
  return dense;
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

GradientView StepEngine::view_of(const Block& block, std::span<const GradientView> tensors) const noexcept {
  return tensors[block.tensor].row(block.segment - segments_.first()[block.tensor]);
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
    measure_block(b, view, piece_of(block, view));
  });
}

void StepEngine::measure_block(std::size_t block, const GradientView& view, Piece piece) noexcept {
  block_sums_[block] = squared_norm(*backend_, view, piece);
  if (!needs_.max_abs) return;
  block_max_abs_[block] = max_abs(*backend_, view, piece);
  power_norms_.measure_block(block, view, piece, block_max_abs_[block]);
}

/// Adds the blocks' partial sums, always in the same order.
void StepEngine::finish_measuring(const Batch& batch) {
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
      TensorReport& report = reports_[s];
      report.raw_norm = norm_from(sum, gradient.row(s - own.begin));
      report.finite = std::isfinite(report.raw_norm);
      if (needs_.max_abs) max_abs_[s] = largest;
      power_norms_.finish_segment(s, blocks.begin, blocks.end, block_max_abs_);
    }
  }
}

double StepEngine::norm_from(double sum, const GradientView& segment) const noexcept {
  // Squares of float64 values leave the range of a double long before the values do.
  constexpr double kLargestSafe = 0x1p+1000;
  constexpr double kSmallestSafe = 0x1p-900;
  const bool safe = sum > kSmallestSafe && sum < kLargestSafe;
  return safe || segment.dtype != DType::float64 ? std::sqrt(sum) : wide_range_norm(*backend_, segment);
}

void StepEngine::measure_parameters(const StepPlan& plan, const Batch& batch) {
  if (!needs_.parameter_norms) return;
  for_each_block(plan, batch, Order::forwards, [this](std::size_t b) {
    const Block& block = plan_.blocks[b];
    if (gradients_[block.tensor].data == nullptr) return;
    block_parameter_sums_[b] =
        squared_norm(*backend_, view_of(block, parameters_), {block.begin, block.count});
  });
  for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
    if (gradients_[t].data == nullptr) continue;
    const IndexRange own = segments_.of_tensor(t);
    for (std::size_t s = own.begin; s < own.end; ++s) {
      const IndexRange blocks = plan_.segment_blocks[s];
      double sum = 0.0;
      for (std::size_t b = blocks.begin; b < blocks.end; ++b) sum += block_parameter_sums_[b];
      parameter_norms_[s] = norm_from(sum, parameters_[t].row(s - own.begin));
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

Measures StepEngine::measures(IndexRange segments, const NormNeeds& needs) const noexcept {
  const auto part = [&](std::span<const double> all) { return all.subspan(segments.begin, segments.size()); };
  Measures result;
  if (needs.max_abs) result.max_abs = part(max_abs_);
  if (needs.power > 0.0) result.power_norm = part(power_norms_.norms(needs.power));
  if (needs.parameter_norms) result.parameter_norm = part(parameter_norms_);
  return result;
}

void StepEngine::decide(const Batch& batch, const Stage& stage) {
  const IndexRange segments = batch.segments;
  const std::span reports = std::span(reports_).subspan(segments.begin, segments.size());
  for (NormTransform* link : stage.norms) {
    link->decide(segments.begin, reports, measures(segments, link->needs()));
  }
}

/// The pass of one element-wise link: writes, and measures what it has written.
void StepEngine::map_elements(const StepPlan& plan, const Batch& batch, ElementTransform& elements) {
  elements.prepare(batch.tensors, reports_, measures({0, reports_.size()}, elements.needs()));
  for_each_block(plan, batch, Order::backwards, [this, &elements](std::size_t b) {
    const Block& block = plan_.blocks[b];
    if (gradients_[block.tensor].data == nullptr) return;
    const TensorReport& report = reports_[block.segment];
    const GradientView view = view_of(block);
    const Piece piece = piece_of(block, view);
    if (report.zeroed) {
      fill_zero(view, piece);
    } else {
      const auto row = static_cast<std::int64_t>(block.segment - segments_.first()[block.tensor]);
      elements.map({block.tensor, row * view.count + piece.begin, view, piece, report.factor, *backend_});
    }
    measure_block(b, view, piece);
  });
  finish_measuring(batch);
  for (std::size_t s = batch.segments.begin; s < batch.segments.end; ++s) {
    reports_[s].factor = 1.0;
    if (reports_[s].zeroed) reports_[s].finite = false;
  }
}

void StepEngine::keep_raw_norms(const Batch& batch) {
  for (std::size_t s = batch.segments.begin; s < batch.segments.end; ++s)
    raw_[s] = {reports_[s].raw_norm, reports_[s].finite};
}

/// From the last stage's reports to those of the whole chain: norm after over norm before.
void StepEngine::restore_raw_norms(const Batch& batch) {
  for (std::size_t s = batch.segments.begin; s < batch.segments.end; ++s) {
    TensorReport& report = reports_[s];
    const double quotient = report.norm() / raw_[s].norm;
    report.factor = raw_[s].norm > 0.0 && std::isfinite(quotient) ? quotient : 1.0;
    report.raw_norm = raw_[s].norm;
    report.finite = raw_[s].finite;
  }
}

void StepEngine::run_stages(const StepPlan& plan, const Batch& batch, GradientSink* sink) {
  if (nonfinite_ == NonFinitePolicy::skip_tensor) set_aside_nonfinite(batch);
  measure_parameters(plan, batch);
  decide(batch, stages_.front());
  if (stages_.size() > 1) keep_raw_norms(batch);
  for (std::size_t i = 1; i < stages_.size(); ++i) {
    map_elements(plan, batch, *stages_[i].elements);
    decide(batch, stages_[i]);
  }
  sink != nullptr ? hand_over(plan, batch, *sink) : apply(batch);
  if (stages_.size() > 1) restore_raw_norms(batch);
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

Result<StepEngine::Outcome> StepEngine::run(const ParameterSet& parameters, GradientSink* sink) {
  auto outcome = run_batches(parameters, sink);
  // Also after an error: the caller will change the gradients that were at fault.
  std::ranges::fill(measured_, nullptr);
  return outcome;
}

Result<StepEngine::Outcome> StepEngine::run_batches(const ParameterSet& parameters, GradientSink* sink) {
  Outcome outcome = Outcome::done;
  if (may_change_nothing() && !plan_.batches.empty()) {
    const Batch& everything = plan_.batches.front();
    measure(plan_, everything);
    if (any_nonfinite(everything)) {
      if (nonfinite_ == NonFinitePolicy::raise) return nonfinite_error(parameters);
      outcome = Outcome::skipped;
    } else {
      run_stages(plan_, everything, sink);
    }
  } else {
    for (const Batch& batch : plan_.batches) {
      measure(plan_, batch);
      run_stages(plan_, batch, sink);
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
                                         GradientSink& sink) {
  const StepPlan& plan = plan_per_tensor(parameters);
  const Batch& batch = plan.batches[tensor];
  measure(plan, batch);
  measured_[tensor] = nullptr;
  if (nonfinite_ == NonFinitePolicy::raise && any_nonfinite(batch)) {
    return Status(StatusCode::non_finite, "gradient holds NaN or Inf: '" + parameters[tensor].name + "'");
  }
  run_stages(plan, batch, &sink);
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
