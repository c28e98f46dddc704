// cuda::Optimizer: a fused optimizer on a device.
#include <algorithm>
#include <utility>

#include "core/base/text.hpp"
#include "core/optimizer/optimizer_access.hpp"
#include "cuda/on_device.hpp"

namespace gradstab::cuda {
namespace {

device::GroupSettings settings_of(const OptimizerOptions& options) {
  return std::visit([](const auto& typed) { return device::GroupSettings(step_settings(typed)); }, options);
}

}  // namespace

struct GRADSTAB_LOCAL Optimizer::Inside final : OnDevice::Impl {
  Inside(OptimizerOptions made_with, std::optional<GradientTransform> given)
      : twin(std::move(made_with), std::move(given)) {}

  explicit Inside(gradstab::Optimizer given) : twin(std::move(given)) {}

  OptimizerAccess::Impl& optimizer() noexcept { return OptimizerAccess::inside(twin); }
  GradientTransform& transform() noexcept override { return optimizer().transform; }
  std::string name() const override { return twin.name(); }
  Result<std::vector<std::byte>> save_twin() override { return twin.save(); }
  Status load_twin(std::span<const std::byte> bytes) override { return twin.load(bytes); }

  void take_state(device::DeviceEngine::State state) override {
    if (!host_decides) chain().updates = state.updates;
    optimizer().steps = state.updates;
    std::ranges::copy(state.moments, link.moments.begin());
    optimizer().memory = std::move(state.memory);
  }
  device::DeviceEngine::State give_state() override {
    device::DeviceEngine::State state;
    state.updates = optimizer().steps;
    state.moments.assign(link.moments.begin(), link.moments.end());
    state.memory = std::move(optimizer().memory);
    return state;
  }
  /// The twin remembers which parameters have state, which it asks when settings change, and no more.
  void forget_state() noexcept override {
    const auto storages = engine.storages();
    optimizer().memory.resize(storages.size());
    for (std::size_t i = 0; i < storages.size(); ++i) {
      optimizer().memory[i] = {};
      optimizer().memory[i].storage = storages[i];
    }
  }

  /// For an initialised twin: opens the device, binds the engine, whose state is fresh, and sends settings.
  Status go_to(const DeviceOptions& given);
  Status bind_engine();
  Status send_settings(Stream stream);
  Status prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients, Stream stream);
  Status measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients, Stream stream);

  gradstab::Optimizer twin;
  bool in_parts = false;
};

Status Optimizer::Inside::go_to(const DeviceOptions& given) {
  GRADSTAB_RETURN_IF_ERROR(open(given));
  GRADSTAB_RETURN_IF_ERROR(bind_engine());
  GRADSTAB_RETURN_IF_ERROR(send_settings(nullptr));
  // The first step may be in another stream.
  GRADSTAB_RETURN_IF_ERROR(device->wait_for_stream(nullptr));
  counts_before = device->counts();
  ready = true;
  return {};
}

Status Optimizer::Inside::bind_engine() {
  GRADSTAB_RETURN_IF_ERROR(choose_who_decides());
  OptimizerAccess::Impl& inside = optimizer();
  if (host_decides && std::ranges::any_of(inside.rules, &ParameterRule::unit_moments)) {
    return {
        StatusCode::unsupported,
        "adam_mini divides tensors into units, and the host decides on whole ones; on a device it goes with "
        "'stabilize' per tensor, or nothing"};
  }
  device::EngineSetup setup;
  setup.parameters = &chain().parameters;
  setup.stabilizer = link;
  setup.host_decides = host_decides;
  setup.in_parts = in_parts;
  setup.nonfinite = options.nonfinite;
  setup.rules = inside.rules;
  setup.group_of = inside.group_of;
  setup.group_count = inside.groups.size();
  setup.measures = inside.needs_norms();
  setup.low_precision = options.low_precision;
  setup.seed = options.seed;
  return engine.bind(device, setup);
}

Status Optimizer::Inside::send_settings(Stream stream) {
  std::vector<device::GroupSettings> settings;
  for (const OptimizerOptions& group : optimizer().groups) settings.push_back(settings_of(group));
  return engine.set_groups(settings, stream);
}

Status Optimizer::Inside::prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                                  Stream stream) {
  measured = false;
  GRADSTAB_RETURN_IF_ERROR(engine.prepare(parameters, gradients, stream));
  const auto storages = engine.storages();
  for (std::size_t i = 0; i < storages.size(); ++i) optimizer().memory[i].storage = storages[i];
  return {};
}

Status Optimizer::Inside::measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                                  Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(prepare(parameters, gradients, stream));
  GRADSTAB_RETURN_IF_ERROR(engine.measure(stream));
  measured = true;
  return {};
}

Optimizer::Optimizer(OptimizerOptions options, std::optional<GradientTransform> transform)
    : OnDevice(std::make_unique<Inside>(std::move(options), std::move(transform))) {}

Optimizer::Optimizer(std::unique_ptr<Impl> inside) noexcept : OnDevice(std::move(inside)) {}

Optimizer::Optimizer(gradstab::Optimizer optimizer)
    : OnDevice(std::make_unique<Inside>(std::move(optimizer))) {
  static_cast<Inside&>(*impl_).twin.unbind();
}

Status Optimizer::init(ParameterSet parameters, DeviceOptions given,
                       const std::vector<OptimizerGroup>& groups) {
  auto& inside = static_cast<Inside&>(*impl_);
  inside.ready = false;
  inside.in_parts = false;
  GRADSTAB_RETURN_IF_ERROR(inside.choose_who_decides());
  OptimizerRunOptions run;
  run.run.nonfinite = given.nonfinite;
  run.run.backend = "reference";
  run.low_precision = given.low_precision;
  run.seed = given.seed;
  GRADSTAB_RETURN_IF_ERROR(inside.twin.init(std::move(parameters), std::move(run), groups));
  return inside.go_to(given);
}

Result<Optimizer> Optimizer::take(gradstab::Optimizer& host, DeviceOptions given, Stream stream,
                                  bool in_parts) {
  OptimizerAccess::Impl& before = OptimizerAccess::inside(host);
  if (!before.ready())
    return Status(StatusCode::failed_precondition, "take was called before a successful init");
  for (std::size_t i = 0; i < before.memory.size(); ++i) {
    if (before.memory[i].storage != ParameterStorage::float64) continue;
    return Status(StatusCode::unsupported,
                  detail::concat("parameter '", before.inner().parameters[i].name,
                                 "' has float64 state, expected float32 or bfloat16 on a device"));
  }
  Optimizer taken(std::make_unique<Inside>(std::move(host)));
  auto& inside = static_cast<Inside&>(*taken.impl_);
  inside.in_parts = in_parts;
  Status status = inside.go_to(given);
  if (status.ok()) {
    auto state = inside.give_state();
    status = inside.engine.upload(state, stream);
    if (!status.ok()) inside.optimizer().memory = std::move(state.memory);
  }
  if (status.ok()) {
    inside.forget_state();
    return taken;
  }
  host = std::move(inside.twin);
  return status;
}

Result<gradstab::Optimizer> Optimizer::release(Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("release"));
  auto& inside = static_cast<Inside&>(*impl_);
  auto state = inside.engine.download(stream);
  if (!state) return state.status();
  inside.take_state(std::move(*state));
  inside.ready = false;
  return std::move(inside.twin);
}

Status Optimizer::prepare(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                          Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("prepare"));
  return static_cast<Inside&>(*impl_).prepare(parameters, gradients, stream);
}

Status Optimizer::measure(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                          Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("measure"));
  auto& inside = static_cast<Inside&>(*impl_);
  if (std::ranges::any_of(inside.optimizer().rules, &ParameterRule::unit_moments)) {
    return {StatusCode::unsupported,
            "Adam-mini has a second moment per unit, whose norms would have to be summed over the processes "
            "too; use "
            "step, or another optimizer for tensors of which every process has a part"};
  }
  return inside.measure(parameters, gradients, stream);
}

Status Optimizer::finish(Stream stream) {
  return impl_->finish(stream);
}

Status Optimizer::step(std::span<const TensorRef> parameters, std::span<const TensorRef> gradients,
                       Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("step"));
  GRADSTAB_RETURN_IF_ERROR(static_cast<Inside&>(*impl_).measure(parameters, gradients, stream));
  return finish(stream);
}

Status Optimizer::step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient,
                           Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("step_one"));
  auto& inside = static_cast<Inside&>(*impl_);
  GRADSTAB_RETURN_IF_ERROR(can_step_one());
  if (index >= inside.optimizer().memory.size()) {
    return {StatusCode::invalid_argument,
            detail::concat("there is no parameter ", index, "; ", inside.optimizer().memory.size(),
                           " are registered")};
  }
  if (gradient.data == nullptr) return {};
  inside.measured = false;
  GRADSTAB_RETURN_IF_ERROR(inside.engine.step_one(index, parameter, gradient, stream));
  inside.optimizer().memory[index].storage = inside.engine.storages()[index];
  return {};
}

Status Optimizer::can_step_one() const {
  GRADSTAB_RETURN_IF_ERROR(static_cast<Inside&>(*impl_).twin.can_step_one());
  if (!impl_->host_decides) return {};
  return {StatusCode::unsupported,
          detail::concat("the host decides for '", impl_->transform().name(),
                         "', which would wait for each parameter; step over all parameters at once")};
}

std::size_t Optimizer::group_count() const noexcept {
  return static_cast<Inside&>(*impl_).twin.group_count();
}

Result<OptimizerOptions> Optimizer::options(std::size_t group) const {
  return static_cast<Inside&>(*impl_).twin.options(group);
}

Status Optimizer::set_lr(double lr, Stream stream) {
  auto& inside = static_cast<Inside&>(*impl_);
  GRADSTAB_RETURN_IF_ERROR(inside.twin.set_lr(lr));
  return inside.ready ? inside.send_settings(stream) : Status();
}

Status Optimizer::set_lr(std::size_t group, double lr, Stream stream) {
  auto& inside = static_cast<Inside&>(*impl_);
  // Who steps in backward says it before each parameter.
  const auto before = inside.twin.options(group);
  GRADSTAB_RETURN_IF_ERROR(inside.twin.set_lr(group, lr));
  if (before && *before == inside.optimizer().settings()[group]) return {};
  return inside.ready ? inside.send_settings(stream) : Status();
}

Status Optimizer::set_options(std::size_t group, OptimizerOptions options, Stream stream) {
  auto& inside = static_cast<Inside&>(*impl_);
  if (!inside.ready) return inside.twin.set_options(group, std::move(options));
  // Adaptors of frameworks say in every step what the settings are.
  if (group < inside.optimizer().groups.size() && inside.optimizer().groups[group] == options) return {};
  const std::vector<ParameterRule> before = inside.optimizer().rules;
  GRADSTAB_RETURN_IF_ERROR(inside.twin.set_options(group, std::move(options)));
  if (!std::ranges::equal(before, inside.optimizer().rules, {}, &ParameterRule::rule, &ParameterRule::rule)) {
    // Which launch updates a tensor is part of the plan.
    auto state = inside.engine.download(stream);
    if (!state) return state.status();
    inside.measured = false;
    GRADSTAB_RETURN_IF_ERROR(inside.bind_engine());
    GRADSTAB_RETURN_IF_ERROR(inside.engine.upload(*state, stream));
  }
  return inside.send_settings(stream);
}

}  // namespace gradstab::cuda
