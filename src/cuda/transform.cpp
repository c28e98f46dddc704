// cuda::Transform: a gradient transform on a device.
#include <algorithm>
#include <utility>

#include "core/base/text.hpp"
#include "core/transform/transform_access.hpp"
#include "cuda/on_device.hpp"

namespace gradstab::cuda {
struct GRADSTAB_LOCAL Transform::Inside final : OnDevice::Impl {
  explicit Inside(GradientTransform given) : twin(std::move(given)) {}

  GradientTransform& transform() noexcept override { return twin; }
  std::string name() const override { return twin.name(); }
  Result<std::vector<std::byte>> save_twin() override { return twin.save(); }
  Status load_twin(std::span<const std::byte> bytes) override { return twin.load(bytes); }

  void take_state(device::DeviceEngine::State state) override {
    if (!host_decides) chain().updates = state.updates;
    std::ranges::copy(state.moments, link.moments.begin());
  }
  device::DeviceEngine::State give_state() override {
    device::DeviceEngine::State state;
    state.updates = chain().updates;
    state.moments.assign(link.moments.begin(), link.moments.end());
    return state;
  }

  /// For an initialised twin: opens the device and binds the engine, whose state is fresh.
  Status go_to(const DeviceOptions& given) {
    GRADSTAB_RETURN_IF_ERROR(choose_who_decides());
    if (link.options == nullptr && !host_decides)
      return {StatusCode::unsupported, "an empty chain has nothing to do on a device"};
    GRADSTAB_RETURN_IF_ERROR(open(given));
    device::EngineSetup setup;
    setup.parameters = parts ? &*parts : &chain().parameters;
    setup.in_parts = parts.has_value();
    setup.stabilizer = link;
    setup.host_decides = host_decides;
    setup.nonfinite = given.nonfinite;
    GRADSTAB_RETURN_IF_ERROR(engine.bind(device, setup));
    counts_before = device->counts();
    ready = true;
    return {};
  }

  GradientTransform twin;
  std::optional<ParameterSet> parts;
};

Transform::Transform(GradientTransform transform)
    : OnDevice(std::make_unique<Inside>(std::move(transform))) {}

Status Transform::init(ParameterSet parameters, DeviceOptions given) {
  auto& inside = static_cast<Inside&>(*impl_);
  inside.ready = false;
  inside.parts.reset();
  GRADSTAB_RETURN_IF_ERROR(inside.twin.validate());
  // Said before anything is allocated.
  GRADSTAB_RETURN_IF_ERROR(inside.choose_who_decides());
  GRADSTAB_RETURN_IF_ERROR(
      inside.twin.init(std::move(parameters), {.nonfinite = given.nonfinite, .backend = "reference"}));
  return inside.go_to(given);
}

Result<Transform> Transform::take(GradientTransform& host, DeviceOptions given, Stream stream,
                                  std::optional<ParameterSet> parts) {
  const auto& before = TransformAccess::inside(host);
  if (!before.initialised)
    return Status(StatusCode::failed_precondition, "take was called before a successful init");
  if (parts && !std::ranges::equal(*parts, before.parameters, {}, &Parameter::name, &Parameter::name)) {
    return Status(StatusCode::shape_mismatch, "the parts have other names than the parameters they are of");
  }
  Transform taken(std::move(host));
  auto& inside = static_cast<Inside&>(*taken.impl_);
  inside.parts = std::move(parts);
  Status status = inside.go_to(given);
  if (status.ok()) status = inside.engine.upload(inside.give_state(), stream);
  if (status.ok()) return taken;
  host = std::move(inside.twin);
  return status;
}

Result<GradientTransform> Transform::release(Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("release"));
  auto& inside = static_cast<Inside&>(*impl_);
  auto state = inside.engine.download(stream);
  if (!state) return state.status();
  inside.take_state(std::move(*state));
  inside.ready = false;
  return std::move(inside.twin);
}

Result<std::vector<MethodState>> Transform::state(Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("state"));
  auto& inside = static_cast<Inside&>(*impl_);
  auto state = inside.engine.download(stream);
  if (!state) return state.status();
  inside.take_state(std::move(*state));
  return inside.twin.state();
}

Status Transform::measure(std::span<const TensorRef> gradients, Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("measure"));
  impl_->measured = false;
  GRADSTAB_RETURN_IF_ERROR(impl_->engine.prepare({}, gradients, stream));
  GRADSTAB_RETURN_IF_ERROR(impl_->engine.measure(stream));
  impl_->measured = true;
  return {};
}

Status Transform::finish(Stream stream) {
  return impl_->finish(stream);
}

Status Transform::update(std::span<const TensorRef> gradients, Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(measure(gradients, stream));
  return finish(stream);
}

}  // namespace gradstab::cuda
