// The engine behind every transform: measure a batch, let each link decide, apply.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/global_norm.hpp"
#include "core/gradient_memory.hpp"
#include "core/norm_transform.hpp"
#include "core/state_codec.hpp"
#include "core/step_plan.hpp"
#include "core/text.hpp"
#include "gradstab/backend.hpp"
#include "gradstab/transform.hpp"

namespace gradstab {

struct GradientTransform::Impl {
  std::vector<std::unique_ptr<NormTransform>> links;
  Status error;  // of a factory; reported by init

  bool initialised = false;
  RunOptions options;
  const Backend* backend = nullptr;
  ParameterSet parameters;
  NormNeeds needs;
  StepPlan plan;
  std::int64_t updates = 0;
  std::optional<std::int64_t> last_step;

  // One entry per tensor.
  std::vector<GradientView> gradients;
  std::vector<TensorReport> reports;
  std::vector<double> max_abs;
  // One entry per block.
  std::vector<double> block_sums;
  std::vector<double> block_max_abs;

  /// Policies that may leave everything unchanged must have seen every norm before the first gradient is
  /// touched.
  bool may_change_nothing() const noexcept {
    return options.nonfinite == NonFinitePolicy::raise || options.nonfinite == NonFinitePolicy::skip_step;
  }

  void reset();
  Status take(std::span<const TensorRef> tensors);
  void measure(const Batch& batch);
  void finish_measuring(IndexRange tensors);
  bool any_nonfinite(IndexRange tensors) const noexcept;
  Status nonfinite_error() const;
  void decide(IndexRange tensors);
  void apply(const Batch& batch);
  Result<StepReport> update(std::span<const TensorRef> tensors, std::optional<std::int64_t> step);
  StepReport summarize() const;

  std::vector<std::byte> save() const;
  Status load(std::span<const std::byte> bytes, bool same_parameters);
  Status load_payload(ByteReader& reader, bool same_parameters);
  Result<std::vector<std::ptrdiff_t>> read_parameters(ByteReader& reader, bool same_parameters) const;

  enum class Order { forwards, backwards };

  /// Runs body(block index) for all blocks of a batch's tasks, which start in the given order.
  template <class Body>
  void for_each_block(const Batch& batch, Order order, Body body) {
    struct Context {
      Impl* self;
      const Body* body;
      IndexRange tasks;
      Order order;
    } context{this, &body, batch.tasks, order};
    options.executor->run(
        batch.tasks.end - batch.tasks.begin,
        [](void* pointer, std::size_t index) noexcept {
          const Context& shared = *static_cast<const Context*>(pointer);
          const std::size_t task =
              shared.order == Order::forwards ? shared.tasks.begin + index : shared.tasks.end - 1 - index;
          const IndexRange blocks = shared.self->plan.tasks[task];
          for (std::size_t b = blocks.begin; b < blocks.end; ++b) (*shared.body)(b);
        },
        &context);
  }
};

void GradientTransform::Impl::reset() {
  const std::size_t count = parameters.size();
  needs = {};
  bool one_batch = may_change_nothing();
  for (const auto& link : links) {
    link->reset(count);
    one_batch = one_batch || link->needs_all_tensors();
    needs.max_abs = needs.max_abs || link->needs().max_abs;
  }
  plan = make_step_plan(parameters, one_batch);
  updates = 0;
  last_step.reset();
  gradients.assign(count, {});
  reports.assign(count, {});
  max_abs.assign(needs.max_abs ? count : 0, 0.0);
  block_sums.assign(plan.blocks.size(), 0.0);
  block_max_abs.assign(needs.max_abs ? plan.blocks.size() : 0, 0.0);
}

/// Checks the gradients of this step and keeps what the kernels need of them.
Status GradientTransform::Impl::take(std::span<const TensorRef> tensors) {
  if (tensors.size() != parameters.size()) {
    return {StatusCode::shape_mismatch, detail::concat("got ", tensors.size(), " gradients for ",
                                                       parameters.size(), " registered parameters")};
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorRef& tensor = tensors[i];
    const Parameter& parameter = parameters[i];
    reports[i] = {};
    gradients[i].data = nullptr;
    if (tensor.data == nullptr) continue;
    if (!std::ranges::equal(tensor.sizes, parameter.sizes)) {
      return {StatusCode::shape_mismatch,
              detail::concat("gradient of '", parameter.name, "' has shape ",
                             shape_text({tensor.sizes.begin(), tensor.sizes.end()}), ", expected ",
                             shape_text(parameter.sizes))};
    }
    if (tensor.device != DeviceType::cpu) {
      return {StatusCode::unsupported,
              detail::concat("gradient of '", parameter.name, "' is on a CUDA device; backend '",
                             backend->name(), "' reads host memory")};
    }
    if (static_cast<std::size_t>(tensor.dtype) >= kDTypeCount) {
      return {StatusCode::unsupported, detail::concat("gradient of '", parameter.name, "' has unknown dtype ",
                                                      static_cast<int>(tensor.dtype))};
    }
    GradientView& gradient = gradients[i];
    if (is_row_major(tensor)) {
      gradient.layout.set_dense(element_count(tensor.sizes));
    } else {
      auto layout = make_layout(tensor, parameter.name);
      if (!layout) return layout.status();
      gradient.layout = *layout;
    }
    gradient.data = static_cast<std::byte*>(tensor.data);
    gradient.dtype = tensor.dtype;
    reports[i].present = true;
  }
  return {};
}

void GradientTransform::Impl::measure(const Batch& batch) {
  for_each_block(batch, Order::forwards, [this](std::size_t b) {
    const Block& block = plan.blocks[b];
    const GradientView& gradient = gradients[block.tensor];
    if (gradient.data == nullptr) return;
    const Piece piece{block.begin, block.count};
    block_sums[b] = squared_norm(*backend, gradient, piece);
    if (needs.max_abs) block_max_abs[b] = gradstab::max_abs(*backend, gradient, piece);
  });
  finish_measuring(batch.tensors);
}

/// Adds the blocks' partial sums, always in the same order.
void GradientTransform::Impl::finish_measuring(IndexRange tensors) {
  // Squares of float64 values leave the range of a double long before the values do.
  constexpr double kLargestSafe = 0x1p+1000;
  constexpr double kSmallestSafe = 0x1p-900;
  for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
    TensorReport& report = reports[t];
    if (!report.present) continue;
    const IndexRange blocks = plan.tensor_blocks[t];
    double sum = 0.0;
    double largest = 0.0;
    for (std::size_t b = blocks.begin; b < blocks.end; ++b) {
      sum += block_sums[b];
      if (needs.max_abs && !(block_max_abs[b] <= largest) && !std::isnan(largest)) largest = block_max_abs[b];
    }
    const bool safe = sum > kSmallestSafe && sum < kLargestSafe;
    report.raw_norm = std::sqrt(sum);
    if (!safe && gradients[t].dtype == DType::float64) {
      report.raw_norm = wide_range_norm(*backend, gradients[t], element_count(parameters[t].sizes));
    }
    report.finite = std::isfinite(report.raw_norm);
    if (needs.max_abs) max_abs[t] = largest;
  }
}

bool GradientTransform::Impl::any_nonfinite(IndexRange tensors) const noexcept {
  return std::any_of(reports.begin() + static_cast<std::ptrdiff_t>(tensors.begin),
                     reports.begin() + static_cast<std::ptrdiff_t>(tensors.end),
                     [](const TensorReport& report) { return !report.finite; });
}

Status GradientTransform::Impl::nonfinite_error() const {
  constexpr std::size_t kNamed = 5;
  std::string names;
  std::size_t count = 0;
  for (std::size_t t = 0; t < reports.size(); ++t) {
    if (reports[t].finite) continue;
    if (count < kNamed) names += (count ? ", '" : "'") + parameters[t].name + "'";
    ++count;
  }
  if (count > kNamed) names += detail::concat(" and ", count - kNamed, " more");
  return {StatusCode::non_finite, "gradient holds NaN or Inf: " + names};
}

void GradientTransform::Impl::decide(IndexRange tensors) {
  const std::size_t count = tensors.end - tensors.begin;
  const std::span batch = std::span(reports).subspan(tensors.begin, count);
  if (options.nonfinite == NonFinitePolicy::skip_tensor) {
    for (TensorReport& report : batch) report.zeroed = !report.finite;
  }
  const std::span<const double> largest = needs.max_abs
                                              ? std::span<const double>(max_abs).subspan(tensors.begin, count)
                                              : std::span<const double>();
  for (const auto& link : links) link->decide(tensors.begin, batch, largest);
}

void GradientTransform::Impl::apply(const Batch& batch) {
  const bool changes = std::any_of(
      reports.begin() + static_cast<std::ptrdiff_t>(batch.tensors.begin),
      reports.begin() + static_cast<std::ptrdiff_t>(batch.tensors.end),
      [](const TensorReport& report) { return report.present && (report.zeroed || report.factor != 1.0); });
  if (!changes) return;
  // What was measured last is still in cache, so it comes first.
  for_each_block(batch, Order::backwards, [this](std::size_t b) {
    const Block& block = plan.blocks[b];
    const GradientView& gradient = gradients[block.tensor];
    const TensorReport& report = reports[block.tensor];
    if (gradient.data == nullptr) return;
    const Piece piece{block.begin, block.count};
    if (report.zeroed) {
      fill_zero(gradient, piece);
    } else if (report.factor != 1.0) {
      scale(*backend, gradient, piece, report.factor);
    }
  });
}

Result<StepReport> GradientTransform::Impl::update(std::span<const TensorRef> tensors,
                                                   std::optional<std::int64_t> step) {
  if (!initialised)
    return Status(StatusCode::failed_precondition, "update was called before a successful init");
  if (step && last_step && *step <= *last_step) {
    return Status(StatusCode::failed_precondition,
                  detail::concat("update was called for step ", *step, " after step ", *last_step,
                                 "; each step may transform its gradients once"));
  }
  GRADSTAB_RETURN_IF_ERROR(take(tensors));
  if (may_change_nothing() && !plan.batches.empty()) {
    const Batch& everything = plan.batches.front();
    measure(everything);
    if (any_nonfinite(everything.tensors)) {
      if (options.nonfinite == NonFinitePolicy::raise) return nonfinite_error();
      if (step) last_step = step;
      StepReport report = summarize();
      report.skip_step = true;
      return report;
    }
    decide(everything.tensors);
    apply(everything);
  } else {
    for (const Batch& batch : plan.batches) {
      measure(batch);
      decide(batch.tensors);
      apply(batch);
    }
  }
  if (step) last_step = step;
  updates += 1;
  return summarize();
}

StepReport GradientTransform::Impl::summarize() const {
  StepReport summary;
  summary.tensors = reports;
  summary.step = updates;
  const auto finite_or_zero = [](const TensorReport& report, double norm) {
    return report.present && report.finite ? norm : 0.0;
  };
  summary.raw_global_norm = root_of_squares(
      reports, [&](const TensorReport& report) { return finite_or_zero(report, report.raw_norm); });
  summary.global_norm = root_of_squares(
      reports, [&](const TensorReport& report) { return finite_or_zero(report, report.norm()); });
  for (const TensorReport& report : reports) {
    summary.spikes += report.spike ? 1 : 0;
    summary.nonfinite += report.finite ? 0 : 1;
  }
  return summary;
}

std::vector<std::byte> GradientTransform::Impl::save() const {
  ByteWriter payload;
  payload.put(updates);
  payload.put(static_cast<std::uint64_t>(parameters.size()));
  for (const Parameter& parameter : parameters) {
    payload.put(std::string_view(parameter.name));
    payload.put(static_cast<std::uint32_t>(parameter.sizes.size()));
    for (const std::int64_t size : parameter.sizes) payload.put(size);
  }
  payload.put(static_cast<std::uint32_t>(links.size()));
  for (const auto& link : links) {
    payload.put(link->name());
    SettingsWriter settings;
    link->save_settings(settings);
    payload.put(static_cast<std::uint32_t>(settings.entries().size()));
    for (const auto& [key, value] : settings.entries()) {
      payload.put(std::string_view(key));
      payload.put(value);
    }
    link->save_state(payload);
  }
  return wrap_state(payload.bytes());
}

/// For each saved tensor its position now, or -1.
Result<std::vector<std::ptrdiff_t>> GradientTransform::Impl::read_parameters(ByteReader& reader,
                                                                             bool same_parameters) const {
  const auto mismatch = [](std::string message) {
    return Status(StatusCode::shape_mismatch, std::move(message));
  };
  const auto count = reader.get<std::uint64_t>();
  std::vector<std::ptrdiff_t> position;
  std::vector<bool> seen(parameters.size(), false);
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string name = reader.get_string();
    std::vector<std::int64_t> sizes;
    const auto rank = reader.get<std::uint32_t>();
    for (std::uint32_t d = 0; d < rank && reader.ok(); ++d) sizes.push_back(reader.get<std::int64_t>());
    const std::ptrdiff_t found = parameters.find(name);
    position.push_back(found);
    if (found < 0) {
      if (same_parameters)
        return mismatch("saved state has a parameter '" + name + "' that is not registered here");
      continue;
    }
    const auto index = static_cast<std::size_t>(found);
    if (sizes != parameters[index].sizes) {
      return mismatch("parameter '" + name + "' has shape " + shape_text(parameters[index].sizes) +
                      " here but " + shape_text(sizes) + " in the saved state");
    }
    seen[index] = true;
  }
  if (!reader.ok()) return Status(StatusCode::corrupt_data, "state ends inside its list of parameters");
  const auto missing = std::ranges::find(seen, false);
  if (same_parameters && missing != seen.end()) {
    const auto index = static_cast<std::size_t>(missing - seen.begin());
    return mismatch("saved state has no parameter '" + parameters[index].name + "'");
  }
  return position;
}

Status GradientTransform::Impl::load_payload(ByteReader& reader, bool same_parameters) {
  updates = reader.get<std::int64_t>();
  const auto position = read_parameters(reader, same_parameters);
  if (!position) return position.status();
  const auto link_count = reader.get<std::uint32_t>();
  if (link_count != links.size()) {
    return {StatusCode::shape_mismatch,
            detail::concat("saved state has ", link_count, " methods, this transform has ", links.size())};
  }
  for (const auto& link : links) {
    const std::string saved_name = reader.get_string();
    if (saved_name != link->name()) {
      return {StatusCode::shape_mismatch,
              detail::concat("saved state is of '", saved_name, "', expected '", link->name(), "'")};
    }
    SettingsWriter settings;
    link->save_settings(settings);
    const auto setting_count = reader.get<std::uint32_t>();
    if (setting_count != settings.entries().size()) {
      return {StatusCode::corrupt_data, detail::concat("state of '", saved_name, "' has ", setting_count,
                                                       " settings, expected ", settings.entries().size())};
    }
    for (const auto& [key, value] : settings.entries()) {
      const std::string saved_key = reader.get_string();
      const auto saved_value = reader.get<double>();
      if (saved_key != key || saved_value != value) {
        return {StatusCode::invalid_argument,
                detail::concat(saved_name, " has ", key, " = ", value, " here but ", saved_key, " = ",
                               saved_value, " in the saved state")};
      }
    }
    GRADSTAB_RETURN_IF_ERROR(link->load_state(reader, *position));
  }
  if (!reader.ok() || reader.remaining() != 0) {
    return {StatusCode::corrupt_data, "state has a length that does not fit its content"};
  }
  return {};
}

Status GradientTransform::Impl::load(std::span<const std::byte> bytes, bool same_parameters) {
  const auto payload = unwrap_state(bytes);
  if (!payload) return payload.status();
  const std::vector<std::byte> before = save();
  ByteReader reader(*payload);
  if (Status status = load_payload(reader, same_parameters); !status.ok()) {
    ByteReader undo(*unwrap_state(before));
    load_payload(undo, true).check();
    return status;
  }
  last_step.reset();  // a run that goes back to a checkpoint counts from there again
  return {};
}

GradientTransform::GradientTransform(std::unique_ptr<NormTransform> method)
    : impl_(std::make_unique<Impl>()) {
  impl_->links.push_back(std::move(method));
}
GradientTransform::GradientTransform(Status error) : impl_(std::make_unique<Impl>()) {
  impl_->error = std::move(error);
}
GradientTransform::GradientTransform(GradientTransform&&) noexcept = default;
GradientTransform& GradientTransform::operator=(GradientTransform&&) noexcept = default;
GradientTransform::~GradientTransform() = default;

Status GradientTransform::init(ParameterSet parameters, RunOptions options) {
  GRADSTAB_RETURN_IF_ERROR(impl_->error);
  for (const auto& link : impl_->links) GRADSTAB_RETURN_IF_ERROR(link->validate());
  const auto backend = find_backend(options.backend);
  if (!backend) return backend.status();
  impl_->backend = *backend;
  impl_->options = std::move(options);
  if (!impl_->options.executor) impl_->options.executor = serial_executor();
  impl_->parameters = std::move(parameters);
  impl_->reset();
  impl_->initialised = true;
  return {};
}

Result<StepReport> GradientTransform::update(std::span<const TensorRef> gradients,
                                             std::optional<std::int64_t> step) {
  return impl_->update(gradients, step);
}

const ParameterSet& GradientTransform::parameters() const noexcept {
  return impl_->parameters;
}

std::string GradientTransform::name() const {
  if (impl_->links.size() == 1) return std::string(impl_->links.front()->name());
  std::string text = "chain(";
  for (std::size_t i = 0; i < impl_->links.size(); ++i)
    text += (i ? ", " : "") + std::string(impl_->links[i]->name());
  return text + ")";
}

std::string_view GradientTransform::backend_name() const noexcept {
  return impl_->backend ? impl_->backend->name() : std::string_view();
}

Result<std::vector<std::byte>> GradientTransform::save() const {
  if (!impl_->initialised)
    return Status(StatusCode::failed_precondition, "save was called before a successful init");
  return impl_->save();
}

Status GradientTransform::load(std::span<const std::byte> bytes) {
  if (!impl_->initialised)
    return {StatusCode::failed_precondition, "load was called before a successful init"};
  return impl_->load(bytes, true);
}

Status GradientTransform::rebind(ParameterSet parameters) {
  if (!impl_->initialised)
    return {StatusCode::failed_precondition, "rebind was called before a successful init"};
  const std::vector<std::byte> state = impl_->save();
  ParameterSet before = std::exchange(impl_->parameters, std::move(parameters));
  const auto last_step = impl_->last_step;
  impl_->reset();
  Status status = impl_->load(state, false);
  if (!status.ok()) {
    impl_->parameters = std::move(before);
    impl_->reset();
    impl_->load(state, true).check();
  }
  impl_->last_step = last_step;
  return status;
}

GradientTransform chain_of(std::vector<GradientTransform> links) {
  GradientTransform result{Status()};
  for (GradientTransform& link : links) {
    if (!link.impl_) {
      result.impl_->error = {StatusCode::invalid_argument,
                             "chain was given a transform that had been moved from"};
      continue;
    }
    if (result.impl_->error.ok()) result.impl_->error = link.impl_->error;
    for (auto& method : link.impl_->links) result.impl_->links.push_back(std::move(method));
  }
  return result;
}

}  // namespace gradstab
