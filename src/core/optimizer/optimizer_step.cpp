// Optimizer: one step. Takes the tensors, lets the chain measure and decide, updates block by block.
#include <algorithm>
#include <utility>

#include "core/base/random_key.hpp"
#include "core/base/text.hpp"
#include "core/optimizer/optimizer_impl.hpp"

namespace gradstab {
Status Optimizer::Impl::take_target(std::size_t index, const TensorRef& parameter,
                                    const TensorRef& gradient) {
  const Parameter& registered = inner().parameters[index];
  const std::size_t pieces = inner().engine.segments().of_tensor(index).size();
  const auto target = update_target(registered, parameter, gradient, pieces);
  if (!target) return target.status();
  const ParameterStorage storage = storage_of(parameter.dtype, run.low_precision);
  const ParameterMemory& state = memory[index];
  if (state.storage && state.storage != storage) {
    return {StatusCode::unsupported,
            detail::concat("parameter '", registered.name, "' is ", describe(storage),
                           ", but its state is of ", describe(*state.storage))};
  }
  targets[index] = *target;
  targets[index].storage = storage;
  gradients[index] = static_cast<const std::byte*>(gradient.data);
  const auto bytes = static_cast<std::size_t>(element_count(parameter.sizes)) * target->parameter_bytes;
  parameter_memory.set(index, parameter.data, bytes, bytes == 0);
  return {};
}

/// A parameter given under two names would be updated twice, by two threads at once.
Status Optimizer::Impl::refuse_shared_memory() {
  const auto shared = parameter_memory.find();
  if (!shared) return {};
  return {StatusCode::unsupported,
          detail::concat("parameters '", inner().parameters[shared->first].name, "' and '",
                         inner().parameters[shared->second].name,
                         "' share memory and would be updated twice; register them once")};
}

void Optimizer::Impl::begin_step(std::size_t index, std::int64_t global) {
  ParameterMemory& state = memory[index];
  UpdateTarget& target = targets[index];
  target.first_step = !state.storage;
  if (target.first_step) {
    const std::int64_t count = element_count(inner().parameters[index].sizes);
    allocate(state, rules[index], target.storage, static_cast<std::size_t>(count), target.parameter);
  }
  state.step += 1;
  target.begun = true;
  scalars[index] = update_scalars(options_of(index), {state.step, global, rules[index].decays});
}

void Optimizer::Impl::cancel_step(std::size_t index) noexcept {
  if (!std::exchange(targets[index].begun, false)) return;
  memory[index].step -= 1;
  if (targets[index].first_step) memory[index] = {};
}

/// Cancels the steps of a range of parameters, also where an exception ends them (out of memory), unless they
/// are kept.
class Optimizer::Impl::BegunSteps {
 public:
  BegunSteps(Impl& impl, IndexRange range) noexcept : impl_(impl), range_(range) {}
  ~BegunSteps() {
    for (std::size_t i = range_.begin; i < range_.end; ++i) {
      if (kept_) {
        impl_.targets[i].begun = false;
      } else {
        impl_.cancel_step(i);
      }
    }
  }
  BegunSteps(const BegunSteps&) = delete;
  BegunSteps& operator=(const BegunSteps&) = delete;

  void keep() noexcept { kept_ = true; }

 private:
  Impl& impl_;
  IndexRange range_;
  bool kept_ = false;
};

Status Optimizer::Impl::take_all(std::span<const TensorRef> parameters,
                                 std::span<const TensorRef> gradients_now,
                                 std::optional<std::int64_t> step_number) {
  measured = false;
  GradientTransform::Impl& chain = inner();
  const std::size_t count = chain.parameters.size();
  if (parameters.size() != count) {
    return {StatusCode::shape_mismatch,
            detail::concat("got ", parameters.size(), " parameters for ", count, " registered ones")};
  }
  GRADSTAB_RETURN_IF_ERROR(chain.take(gradients_now, step_number, parameters));
  for (std::size_t i = 0; i < count; ++i) {
    parameter_memory.set(i, nullptr, 0, true);
    gradients[i] = nullptr;
    if (gradients_now[i].data == nullptr) continue;
    GRADSTAB_RETURN_IF_ERROR(take_target(i, parameters[i], gradients_now[i]));
  }
  return refuse_shared_memory();
}

Result<StepReport> Optimizer::Impl::run_taken(std::optional<std::int64_t> step_number) {
  const std::size_t count = inner().parameters.size();
  BegunSteps begun(*this, {0, count});
  for (std::size_t i = 0; i < count; ++i) {
    if (gradients[i] != nullptr) begin_step(i, steps + 1);
  }
  auto report = inner().run(step_number, this);
  if (report && !report->skip_step) {
    steps += 1;
    begun.keep();
  }
  return report;
}

Result<StepReport> Optimizer::Impl::step(std::span<const TensorRef> parameters,
                                         std::span<const TensorRef> gradients_now,
                                         std::optional<std::int64_t> step_number) {
  if (!ready()) return not_initialised("step");
  GRADSTAB_RETURN_IF_ERROR(take_all(parameters, gradients_now, step_number));
  return run_taken(step_number);
}

Status Optimizer::Impl::measure(std::span<const TensorRef> parameters,
                                std::span<const TensorRef> gradients_now) {
  if (!ready()) return not_initialised("measure");
  GRADSTAB_RETURN_IF_ERROR(
      inner().check_sees_norms_alone("use a method of Euclidean norms for gradients in parts"));
  if (std::ranges::any_of(rules, &ParameterRule::unit_moments)) {
    return {StatusCode::unsupported,
            "Adam-mini has a second moment per unit, whose norms would have to be summed over the processes "
            "too; use another optimizer for tensors of which every process has a part"};
  }
  GRADSTAB_RETURN_IF_ERROR(take_all(parameters, gradients_now, {}));
  inner().engine.measure_all(squared_norms);
  measured = true;
  return {};
}

Result<StepReport> Optimizer::Impl::finish() {
  if (!ready()) return not_initialised("finish");
  if (!std::exchange(measured, false)) {
    return Status(StatusCode::failed_precondition,
                  "finish was called without a measure that succeeded right before it");
  }
  inner().engine.give(squared_norms);
  return run_taken({});
}

Status Optimizer::Impl::can_step_one() const {
  if (!ready()) return not_initialised("can_step_one");
  for (const auto& link : inner().links) {
    if (!link->needs_all_tensors()) continue;
    return {StatusCode::unsupported,
            detail::concat("'", link->name(),
                           "' needs the norms of all tensors before the first one is updated, so "
                           "it cannot be part of a step per parameter; use a per-tensor method such as "
                           "'stabilize', or step over all parameters at once")};
  }
  if (run.run.nonfinite == NonFinitePolicy::skip_step) {
    return {
        StatusCode::unsupported,
        "policy 'skip_step' needs all gradients before the first parameter is updated; use 'skip_tensor', or "
        "step over all parameters at once"};
  }
  if (std::holds_alternative<SpamOptions>(groups.front())) {
    return {
        StatusCode::unsupported,
        "'spam' resets all moments at the same step of the whole model; step over all parameters at once"};
  }
  return {};
}

Result<TensorReport> Optimizer::Impl::step_one(std::size_t index, const TensorRef& parameter,
                                               const TensorRef& gradient) {
  GRADSTAB_RETURN_IF_ERROR(can_step_one());
  GradientTransform::Impl& chain = inner();
  if (index >= chain.parameters.size()) {
    return Status(StatusCode::invalid_argument, detail::concat("there is no parameter ", index, "; ",
                                                               chain.parameters.size(), " are registered"));
  }
  if (gradient.data == nullptr) return TensorReport{};
  measured = false;
  GRADSTAB_RETURN_IF_ERROR(chain.engine.take_one(chain.parameters, index, gradient));
  GRADSTAB_RETURN_IF_ERROR(take_target(index, parameter, gradient));
  if (chain.engine.needs_parameters())
    GRADSTAB_RETURN_IF_ERROR(chain.engine.take_parameter(chain.parameters, index, parameter));
  BegunSteps begun(*this, {index, index + 1});
  begin_step(index, memory[index].step + 1);
  auto report = chain.undone_if_it_fails(
      {index, index + 1}, [&] { return chain.engine.run_one(chain.parameters, index, *this); });
  if (report) begun.keep();
  return report;
}

void Optimizer::Impl::prepare(IndexRange tensors, std::span<const TensorReport> reports) noexcept {
  for (std::size_t t = tensors.begin; t < tensors.end; ++t) {
    const IndexRange own = inner().engine.segments().of_tensor(t);
    // Of parts, a tensor may be present in other processes alone.
    if (own.size() == 0 || !reports[own.begin].present || !targets[t].begun) continue;
    ParameterMemory& state = memory[t];
    const std::size_t resets = reset_state_count(options_of(t), {state.step, steps + 1});
    for (ZeroedArray& array : std::span(state.states).first(resets))
      std::fill_n(array.data(), array.bytes(), std::byte{0});
    if (!rules[t].unit_moments) continue;
    const auto& options = std::get<AdamMiniOptions>(options_of(t));
    const std::size_t units = rules[t].units;
    const std::size_t segments = own.size() / units;  // of each unit
    const std::int64_t elements =
        element_count(inner().parameters[t].sizes) / static_cast<std::int64_t>(units);
    for (std::size_t unit = 0; unit < units; ++unit) {
      const std::size_t first = own.begin + unit * segments;
      const double norm = global_norm(reports.subspan(first, segments));
      const double root = advance_unit_moment(options, state.step, norm, elements, state.unit_second[unit]);
      std::fill_n(unit_root.begin() + static_cast<std::ptrdiff_t>(first), segments, root);
    }
  }
}

void Optimizer::Impl::take(const Block& block, const GradientView& gradient,
                           const TensorReport& report) noexcept {
  const std::size_t t = block.tensor;
  const UpdateTarget& target = targets[t];
  ParameterMemory& state = memory[t];
  const IndexRange own = inner().engine.segments().of_tensor(t);
  const std::int64_t begin =
      static_cast<std::int64_t>(block.segment - own.begin) * gradient.count + block.begin;

  UpdateScalars numbers = scalars[t];
  numbers.gradient_factor = report.factor;
  if (rules[t].unit_moments) numbers.step_size /= unit_root[block.segment];

  UpdateBlock update;
  update.rule = rules[t].rule;
  update.storage = *state.storage;
  update.gradient_dtype = gradient.dtype;
  update.parameter = target.parameter + static_cast<std::size_t>(begin) * target.parameter_bytes;
  if (update.storage == ParameterStorage::bfloat16_master)
    update.master = reinterpret_cast<float*>(state.master.data()) + begin;
  for (std::size_t k = 0; k < state_count(update.rule); ++k)
    update.states[k] = state.states[k].data() + static_cast<std::size_t>(begin) * state.element_bytes();
  update.count = static_cast<std::size_t>(block.count);
  if (update.storage == ParameterStorage::bfloat16_stochastic)
    update.random_key = detail::random_key(run.seed, state.step, t, begin);
  if (target.same_order && !report.zeroed) {
    update.gradient = gradients[t] + static_cast<std::size_t>(begin) * size_of(gradient.dtype);
    inner().backend->update(update, numbers);
  } else {
    update_through_copy(update, numbers, target, report.zeroed ? nullptr : gradients[t], begin);
  }
}

void Optimizer::Impl::update_through_copy(UpdateBlock block, const UpdateScalars& numbers,
                                          const UpdateTarget& target, const std::byte* gradient,
                                          std::int64_t begin) const noexcept {
  constexpr std::size_t kChunk = 1024;
  alignas(64) std::byte copy[kChunk * sizeof(double)] = {};
  const std::size_t gradient_bytes = size_of(block.gradient_dtype);
  const std::size_t state_bytes = block.storage == ParameterStorage::float64 ? sizeof(double) : sizeof(float);
  const std::size_t total = block.count;
  block.gradient = copy;
  for (std::size_t done = 0; done < total; done += block.count) {
    block.count = std::min(kChunk, total - done);
    if (gradient != nullptr) {
      gather(target, gradient, gradient_bytes, begin + static_cast<std::int64_t>(done), block.count, copy);
    }
    inner().backend->update(block, numbers);
    block.parameter = static_cast<std::byte*>(block.parameter) + block.count * target.parameter_bytes;
    if (block.master != nullptr) block.master += block.count;
    for (std::size_t k = 0; k < state_count(block.rule); ++k)
      block.states[k] = static_cast<std::byte*>(block.states[k]) + block.count * state_bytes;
    block.random_key += static_cast<std::uint32_t>(block.count);
  }
}

}  // namespace gradstab
