#include "cuda/on_device.hpp"

#include <utility>

#include "core/base/text.hpp"
#include "core/step/step_summary.hpp"

namespace gradstab::cuda {
namespace {

Status nonfinite_error(const ParameterSet& parameters, std::span<const TensorReport> reports) {
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

}  // namespace

Status OnDevice::Impl::check_ready(std::string_view call) const {
  if (ready) return {};
  return {StatusCode::failed_precondition, detail::concat(call, " was called before a successful init")};
}

Status OnDevice::Impl::open(const DeviceOptions& given) {
  options = given;
  ready = false;
  measured = false;
  device.reset();
  if (given.emulate) {
    device = device::emulated_device();
    return {};
  }
  auto opened = device::open_cuda_device(given.device);
  if (!opened) return opened.status();
  device = std::move(*opened);
  return {};
}

Status OnDevice::Impl::choose_who_decides() {
  link = {};
  host_decides = false;
  const Links& links = chain().links;
  if (links.empty()) return {};
  if (auto* norms = links.front()->as_norm_transform(); links.size() == 1 && norms != nullptr) {
    const StabilizerLink found = norms->stabilizer();
    if (found.options != nullptr && found.granularity == Granularity::tensor) {
      link = found;
      return {};
    }
  }
  GRADSTAB_RETURN_IF_ERROR(chain().check_sees_norms_alone("use the CPU for it"));
  host_decides = true;
  return {};
}

Result<bool> OnDevice::Impl::decide_on_host(device::Stream stream) {
  const auto squares = engine.fetch_squared_norms(stream);
  if (!squares) return squares.status();
  const auto report = transform().decide(*squares);
  last_report = transform().report();
  if (!report) return report.status();
  if (report->skip_step) return false;
  std::vector<device::GivenDecision> decisions(squares->size());
  for (std::size_t t = 0; t < decisions.size(); ++t) {
    const TensorReport& tensor = report->tensors[t];
    if (tensor.present) decisions[t] = {tensor.factor, tensor.zeroed ? 1 : 0, 0};
  }
  GRADSTAB_RETURN_IF_ERROR(engine.give_decisions(decisions, stream));
  return true;
}

Status OnDevice::Impl::finish(device::Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(check_ready("finish"));
  if (!std::exchange(measured, false)) {
    return {StatusCode::failed_precondition, "finish was called without a measure that succeeded before it"};
  }
  if (host_decides) {
    const auto go_on = decide_on_host(stream);
    if (!go_on || !*go_on) return go_on.status();
  }
  return engine.finish(stream);
}

Result<std::vector<std::byte>> OnDevice::Impl::save(device::Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(check_ready("save"));
  auto state = engine.download(stream);
  if (!state) return state.status();
  take_state(std::move(*state));
  auto bytes = save_twin();
  forget_state();
  return bytes;
}

Status OnDevice::Impl::load(std::span<const std::byte> bytes, device::Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(check_ready("load"));
  GRADSTAB_RETURN_IF_ERROR(load_twin(bytes));
  const device::DeviceEngine::State state = give_state();
  forget_state();
  measured = false;
  return engine.upload(state, stream);
}

Result<StepReport> OnDevice::Impl::report() {
  GRADSTAB_RETURN_IF_ERROR(check_ready("report"));
  if (host_decides) return last_report;
  const auto reports = engine.reports();
  if (!reports) return reports.status();
  last_report = {};
  last_report.tensors = reports->tensors;
  last_report.step = reports->counters.updates;
  last_report.skip_step = reports->counters.skip != 0;
  summarize_tensors(last_report);
  if (last_report.skip_step && options.nonfinite == NonFinitePolicy::raise)
    return nonfinite_error(chain().parameters, last_report.tensors);
  return last_report;
}

OnDevice::OnDevice(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
OnDevice::OnDevice(OnDevice&&) noexcept = default;
OnDevice& OnDevice::operator=(OnDevice&&) noexcept = default;
OnDevice::~OnDevice() = default;

Status OnDevice::request_report(Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("request_report"));
  if (impl_->host_decides) return {};
  return impl_->engine.request_reports(stream);
}

Result<bool> OnDevice::report_is_ready() const {
  GRADSTAB_RETURN_IF_ERROR(impl_->check_ready("report_is_ready"));
  if (impl_->host_decides) return true;
  return impl_->engine.reports_are_ready();
}

Result<StepReport> OnDevice::report() {
  return impl_->report();
}

const StepReport& OnDevice::last_report() const noexcept {
  return impl_->last_report;
}

const std::int32_t* OnDevice::skip_flag() const noexcept {
  return impl_->ready ? impl_->engine.skip_flag() : nullptr;
}

double* OnDevice::squared_norms() const noexcept {
  return impl_->ready ? impl_->engine.squared_norms() : nullptr;
}

const ParameterSet& OnDevice::parameters() const noexcept {
  return impl_->chain().parameters;
}

std::string OnDevice::name() const {
  return impl_->name();
}

std::string_view OnDevice::device_name() const noexcept {
  return impl_->ready ? impl_->device->name() : std::string_view();
}

DeviceCounts OnDevice::counts() const noexcept {
  if (!impl_->ready) return {};
  const device::DeviceCounts& now = impl_->device->counts();
  const device::DeviceCounts& before = impl_->counts_before;
  return {now.launches - before.launches, now.copies - before.copies, now.waits - before.waits};
}

Result<std::vector<std::byte>> OnDevice::save(Stream stream) {
  return impl_->save(stream);
}

Status OnDevice::load(std::span<const std::byte> bytes, Stream stream) {
  return impl_->load(bytes, stream);
}

}  // namespace gradstab::cuda
