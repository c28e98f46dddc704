#include "core/step/step_engine.hpp"

#include <algorithm>
#include <cmath>

#include "core/base/floating_point.hpp"
#include "core/base/text.hpp"
#include "core/step/step_summary.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {
void StepEngine::bind(const ParameterSet& parameters, const Segments& segments, const Links& links,
                      const Backend& backend, const RunOptions& options) {
  backend_ = &backend;
  executor_ = options.executor.get();
  nonfinite_ = options.nonfinite;
  segments_ = segments;
  needs_parameters_ = false;
  may_fail_ = false;
  stages_.assign(1, {});
  std::vector<double> powers;
  bool max_abs = false;
  bool one_batch = may_change_nothing();
  for (const auto& link : links) {
    may_fail_ = may_fail_ || link->may_fail();
    one_batch = one_batch || link->needs_all_tensors() || may_fail_;
    const NormNeeds needs = link->needs();
    if (needs.power > 0.0) powers.push_back(needs.power);
    max_abs = max_abs || needs.max_abs;
    needs_parameters_ = needs_parameters_ || needs.parameter_norms;
    if (auto* elements = link->as_element_transform()) stages_.push_back({elements, {}});
    if (auto* norms = link->as_norm_transform()) stages_.back().norms.push_back(norms);
  }
  plan_ = make_step_plan(parameters, segments_, one_batch);
  plan_per_tensor_ = {};
  gradients_.bind(parameters.size(), "gradient of", backend.name());
  parameters_.bind(needs_parameters_ ? parameters.size() : 0, "parameter", backend.name());
  measured_.assign(parameters.size(), nullptr);
  memory_.bind(parameters.size());
  tensor_reports_.assign(segments_.rows() ? parameters.size() : 0, {});
  reports_.assign(segments_.count(), {});
  parameter_norms_.assign(needs_parameters_ ? segments_.count() : 0, 0.0);
  raw_.assign(stages_.size() > 1 ? segments_.count() : 0, {});
  gradient_norms_.bind(max_abs, std::move(powers), segments_.count(), plan_.blocks.size());
  parameter_sums_.bind(needs_parameters_ ? plan_.blocks.size() : 0);
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
  given_ = false;
  gradients_.clear(index);
  memory_.set(index, nullptr, 0, true);
  const bool present = tensor.data != nullptr;
  const IndexRange own = segments_.of_tensor(index);
  for (std::size_t s = own.begin; s < own.end; ++s) {
    reports_[s] = {};
    reports_[s].present = present;
  }
  return present ? take_present(parameter, tensor, index) : Status();
}

void StepEngine::take_nothing(const ParameterSet& parameters) {
  for (std::size_t t = 0; t < parameters.size(); ++t) take_tensor(parameters[t], {}, t).check();
}

Status StepEngine::take_present(const Parameter& parameter, const TensorRef& tensor, std::size_t index) {
  for (const Stage& stage : stages_) {
    if (stage.elements != nullptr) GRADSTAB_RETURN_IF_ERROR(stage.elements->check(parameter, tensor));
  }
  const auto dense = gradients_.take(parameter, tensor, index, segments_);
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
  return parameters_.take(parameter, tensor, index, segments_).status();
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

GradientView StepEngine::view_of(const Block& block, const TensorViews& tensors) const noexcept {
  return tensors[block.tensor].row(block.segment - segments_.first()[block.tensor]);
}

/// A gradient with fewer elements than its parameter (sparse values) ends before its last blocks do.
Piece StepEngine::piece_of(const Block& block, const GradientView& view) const noexcept {
  return {block.begin, std::clamp<std::int64_t>(view.count - block.begin, 0, block.count)};
}

/// The task to be started as the `index`-th. Backwards goes by runs of neighbouring tasks, forwards within
/// each: memory likes long runs, and what was measured last is still in cache with runs much shorter than the
/// cache. Four tasks, 1 MiB of float32, instead of one make a fused AdamW 2 % faster.
std::size_t StepEngine::task_at(IndexRange tasks, Order order, std::size_t index) noexcept {
  constexpr std::size_t kRun = 4;
  if (order == Order::forwards) return tasks.begin + index;
  const std::size_t run = index / kRun * kRun;
  const std::size_t rest = tasks.size() - run;  // of the tasks, when this run starts
  return tasks.begin + (rest > kRun ? rest - kRun : 0) + index - run;
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
        const IndexRange blocks = shared.plan->tasks[task_at(shared.tasks, shared.order, index)];
        for (std::size_t b = blocks.begin; b < blocks.end; ++b) (*shared.body)(b);
      },
      &context);
}

void StepEngine::measure(const StepPlan& plan, const Batch& batch) {
  if (!measures_ || given_) return;
  measure_blocks(plan, batch);
  finish_measuring(batch);
}

void StepEngine::measure_blocks(const StepPlan& plan, const Batch& batch) {
  for_each_block(plan, batch, Order::forwards, [this](std::size_t b) {
    const Block& block = plan_.blocks[b];
    const GradientView& whole = gradients_[block.tensor];
    if (whole.data == nullptr || measured_[block.tensor] == whole.data) return;
    const GradientView view = view_of(block);
    gradient_norms_.measure_block(*backend_, b, view, piece_of(block, view));
  });
}

void StepEngine::finish_measuring(const Batch& batch) {
  for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
    const GradientView& gradient = gradients_[t];
    if (gradient.data == nullptr) continue;
    const IndexRange own = segments_.of_tensor(t);
    for (std::size_t s = own.begin; s < own.end; ++s) {
      TensorReport& report = reports_[s];
      report.raw_norm =
          gradient_norms_.finish_segment(*backend_, s, plan_.segment_blocks[s], gradient.row(s - own.begin));
      report.finite = detail::is_finite(report.raw_norm);
    }
  }
}

void StepEngine::measure_all(std::span<double> squared_norms) {
  std::ranges::fill(squared_norms, 0.0);
  if (!measures_) return;
  for (const Batch& batch : plan_.batches) measure_blocks(plan_, batch);
  for (std::size_t t = 0; t < squared_norms.size(); ++t) {
    if (gradients_[t].data == nullptr) continue;
    squared_norms[t] = gradient_norms_.square(plan_.segment_blocks[segments_.of_tensor(t).begin]);
  }
}

void StepEngine::give(std::span<const double> squared_norms) noexcept {
  given_ = true;
  for (std::size_t t = 0; measures_ && t < squared_norms.size(); ++t) {
    TensorReport& report = reports_[segments_.of_tensor(t).begin];
    report = {};
    report.present = squared_norms[t] != kNoGradient;
    if (!report.present) continue;
    report.raw_norm = std::sqrt(squared_norms[t]);
    report.finite = detail::is_finite(report.raw_norm);
  }
}

void StepEngine::measure_parameters(const StepPlan& plan, const Batch& batch) {
  if (!needs_parameters_) return;
  for_each_block(plan, batch, Order::forwards, [this](std::size_t b) {
    const Block& block = plan_.blocks[b];
    if (gradients_[block.tensor].data == nullptr) return;
    parameter_sums_.measure_block(*backend_, b, view_of(block, parameters_), {block.begin, block.count});
  });
  for (std::size_t t = batch.tensors.begin; t < batch.tensors.end; ++t) {
    if (gradients_[t].data == nullptr) continue;
    const IndexRange own = segments_.of_tensor(t);
    for (std::size_t s = own.begin; s < own.end; ++s) {
      parameter_norms_[s] =
          parameter_sums_.norm(*backend_, plan_.segment_blocks[s], parameters_[t].row(s - own.begin));
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
  if (needs.max_abs) result.max_abs = part(gradient_norms_.max_abs());
  if (needs.power > 0.0) result.power_norm = part(gradient_norms_.power_norms(needs.power));
  if (needs.parameter_norms) result.parameter_norm = part(parameter_norms_);
  return result;
}

Status StepEngine::decide(const Batch& batch, const Stage& stage) {
  const IndexRange segments = batch.segments;
  const std::span reports = std::span(reports_).subspan(segments.begin, segments.size());
  for (NormTransform* link : stage.norms) {
    link->decide(segments.begin, reports, measures(segments, link->needs()));
    if (!may_fail_) continue;
    if (Status status = link->take_failure(); !status.ok()) {
      for (TensorReport& report : reports) {  // nothing of it will be done
        report.factor = 1.0;
        report.spike = false;
        report.zeroed = false;
      }
      return status;
    }
  }
  return {};
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
    gradient_norms_.measure_block(*backend_, b, view, piece);
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
    report.factor = raw_[s].norm > 0.0 && detail::is_finite(quotient) ? quotient : 1.0;
    report.raw_norm = raw_[s].norm;
    report.finite = raw_[s].finite;
  }
}

Status StepEngine::run_stages(const StepPlan& plan, const Batch& batch, GradientSink* sink) {
  if (nonfinite_ == NonFinitePolicy::skip_tensor) set_aside_nonfinite(batch);
  measure_parameters(plan, batch);
  GRADSTAB_RETURN_IF_ERROR(decide(batch, stages_.front()));
  if (stages_.size() > 1) keep_raw_norms(batch);
  for (std::size_t i = 1; i < stages_.size(); ++i) {
    map_elements(plan, batch, *stages_[i].elements);
    GRADSTAB_RETURN_IF_ERROR(decide(batch, stages_[i]));
  }
  sink != nullptr ? hand_over(plan, batch, *sink) : apply(batch);
  if (stages_.size() > 1) restore_raw_norms(batch);
  return {};
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
  given_ = false;
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
      GRADSTAB_RETURN_IF_ERROR(run_stages(plan_, everything, sink));
    }
  } else {
    for (const Batch& batch : plan_.batches) {
      measure(plan_, batch);
      GRADSTAB_RETURN_IF_ERROR(run_stages(plan_, batch, sink));
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
  GRADSTAB_RETURN_IF_ERROR(run_stages(plan, batch, &sink));
  return report_of(tensor);
}

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
  summarize_tensors(summary);
  return summary;
}

}  // namespace gradstab
