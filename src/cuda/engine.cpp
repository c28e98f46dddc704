#include "cuda/engine.hpp"

#include <algorithm>

namespace gradstab::device {
namespace {

/// Blocks of the decision: enough for a thread per tensor in ordinary models, few enough that each may look
/// at all norms.
constexpr std::uint32_t kMostDecidingBlocks = 128;

std::uint32_t at_least_one(std::uint32_t count) {
  return std::max<std::uint32_t>(count, 1);
}

}  // namespace

Status DeviceEngine::bind(std::shared_ptr<Device> device, const EngineSetup& setup) {
  *this = DeviceEngine();
  device_ = std::move(device);
  parameters_ = setup.parameters;
  low_precision_ = setup.low_precision;
  rules_.assign(setup.rules.begin(), setup.rules.end());
  const auto plan = make_plan(*setup.parameters, setup.rules, setup.group_of);
  if (!plan) return plan.status();
  ranges_ = plan->ranges;
  for (const TensorPlan& tensor : plan->tensors) {
    first_segment_.push_back(tensor.first_segment);
    ChunkRange& range = chunks_.emplace_back();
    if (tensor.filled_segments == 0) continue;
    const Segment& segment = plan->segments[tensor.first_segment];
    range = {segment.first_chunk, segment.chunk_count * tensor.segment_count};
  }
  addresses_.assign(plan->tensors.size(), {});
  sent_addresses_ = addresses_;
  states_.assign(plan->tensors.size(), {});
  wanted_.assign(plan->tensors.size(), {});
  storages_ = wanted_;
  memory_.bind(plan->tensors.size());
  return allocate_tables(setup, *plan);
}

Status DeviceEngine::allocate_tables(const EngineSetup& setup, const Plan& plan) {
  const std::size_t tensors = plan.tensors.size();
  const std::size_t segments = plan.segments.size();
  const std::size_t groups = setup.rules.empty() ? 0 : setup.group_count;
  const bool units = std::ranges::any_of(plan.tensors, &TensorPlan::unit_moments);
  Arena arena;
  const std::size_t chunks_at = arena.add<Chunk>(plan.chunks.size());
  const std::size_t segments_at = arena.add<Segment>(segments);
  const std::size_t plans_at = arena.add<TensorPlan>(tensors);
  const std::size_t addresses_at = arena.add<TensorAddress>(tensors);
  const std::size_t states_at = arena.add<TensorState>(tensors);
  const std::size_t groups_at = arena.add<GroupSettings>(groups);
  const std::size_t given_at = arena.add<GivenDecision>(setup.host_decides ? tensors : 0);
  const std::size_t partials_at = arena.add<double>(plan.chunks.size());
  const std::size_t segment_squared_at = arena.add<double>(segments);
  const std::size_t tensor_squared_at = arena.add<double>(tensors);
  const std::size_t segment_arrivals_at = arena.add<std::uint32_t>(segments);
  const std::size_t tensor_arrivals_at = arena.add<std::uint32_t>(tensors);
  const std::size_t moments_at = arena.add<NormMoments>(tensors);
  const std::size_t steps_at = arena.add<std::int64_t>(tensors);
  const std::size_t units_at[2] = {arena.add<double>(units ? segments : 0),
                                   arena.add<double>(units ? segments : 0)};
  const std::size_t numbers_at = arena.add<TensorNumbers>(tensors);
  const std::size_t counters_at = arena.add<std::byte>(kReportsAt + tensors * sizeof(TensorReport));
  auto memory = Memory::allocate(device_, arena.bytes());
  if (!memory) return memory.status();
  table_memory_ = std::move(*memory);
  std::byte* base = table_memory_.data();
  const auto at = [base]<class T>(T*& pointer, std::size_t offset) {
    pointer = reinterpret_cast<T*>(base + offset);
  };
  at(tables_.chunks, chunks_at);
  at(tables_.segments, segments_at);
  at(tables_.plans, plans_at);
  at(tables_.addresses, addresses_at);
  at(tables_.states, states_at);
  at(tables_.groups, groups_at);
  at(tables_.partials, partials_at);
  at(tables_.segment_squared, segment_squared_at);
  at(tables_.tensor_squared, tensor_squared_at);
  at(tables_.segment_arrivals, segment_arrivals_at);
  at(tables_.tensor_arrivals, tensor_arrivals_at);
  at(tables_.moments, moments_at);
  at(tables_.steps, steps_at);
  at(tables_.unit_second[0], units_at[0]);
  at(tables_.unit_second[1], units_at[1]);
  at(tables_.numbers, numbers_at);
  at(tables_.counters, counters_at);
  at(tables_.reports, counters_at + kReportsAt);
  reports_from_ = base + counters_at;

  tables_.tensor_count = static_cast<std::uint32_t>(tensors);
  tables_.chunk_count = static_cast<std::uint32_t>(plan.chunks.size());
  tables_.measures = setup.measures;
  tables_.stabilizes = setup.stabilizer.options != nullptr;
  tables_.optimizes = !setup.rules.empty() || setup.group_count > 0;
  tables_.has_empty =
      std::ranges::any_of(plan.tensors, [](const TensorPlan& one) { return one.filled_segments == 0; });
  tables_.in_parts = setup.in_parts;
  if (setup.host_decides) at(tables_.given, given_at);
  tables_.nonfinite = setup.nonfinite;
  tables_.seed = setup.seed;
  if (tables_.stabilizes) tables_.options = *setup.stabilizer.options;

  GRADSTAB_RETURN_IF_ERROR(
      put(base + chunks_at, plan.chunks.data(), plan.chunks.size() * sizeof(Chunk), nullptr));
  GRADSTAB_RETURN_IF_ERROR(
      put(base + segments_at, plan.segments.data(), segments * sizeof(Segment), nullptr));
  GRADSTAB_RETURN_IF_ERROR(put(base + plans_at, plan.tensors.data(), tensors * sizeof(TensorPlan), nullptr));
  address_upload_.bind(device_, base + addresses_at, tensors * sizeof(TensorAddress));
  state_upload_.bind(device_, base + states_at, tensors * sizeof(TensorState));
  group_upload_.bind(device_, base + groups_at, groups * sizeof(GroupSettings));
  decision_upload_.bind(device_, base + given_at, setup.host_decides ? tensors * sizeof(GivenDecision) : 0);

  auto reports =
      Memory::allocate(device_, kReportsAt + tensors * sizeof(TensorReport), Memory::Kind::staging);
  if (!reports) return reports.status();
  reports_ = std::move(*reports);
  const auto event = device_->make_event();
  if (!event) return event.status();
  reports_event_ = {*event, [device = device_](Event made) { device->release_event(made); }};
  return {};
}

Status DeviceEngine::measure(Stream stream) {
  if (!tables_.measures) return {};
  return device_->launch({Pass::measure}, tables_, {at_least_one(tables_.chunk_count), 0, false}, stream);
}

Result<std::vector<double>> DeviceEngine::fetch_squared_norms(Stream stream) const {
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (*capturing) {
    return Status(StatusCode::failed_precondition,
                  "the stream is being captured, but the host decides on the norms of every step; only "
                  "'stabilize' per tensor is decided on by the device");
  }
  std::vector<double> squares(count());
  GRADSTAB_RETURN_IF_ERROR(
      fetch(squares.data(), tables_.tensor_squared, squares.size() * sizeof(double), stream));
  for (std::size_t t = 0; t < count(); ++t) {
    if (!tables_.in_parts && addresses_[t].gradient == nullptr) squares[t] = kNoGradient;
  }
  return squares;
}

Status DeviceEngine::give_decisions(std::span<const GivenDecision> decisions, Stream stream) {
  return decision_upload_.upload(decisions.data(), stream);
}

Status DeviceEngine::finish(Stream stream) {
  const std::uint32_t wanted = (tables_.tensor_count + kThreads - 1) / kThreads;
  const Launch deciding{std::min(at_least_one(wanted), kMostDecidingBlocks), 0, false};
  GRADSTAB_RETURN_IF_ERROR(device_->launch({Pass::decide}, tables_, deciding, stream));
  bool counted = false;
  for (const RuleRange& range : ranges_) {
    if (range.chunk_count == 0) continue;
    const Kernel kernel = tables_.optimizes ? Kernel{Pass::update, range.rule} : Kernel{Pass::apply};
    const Launch launch{range.chunk_count, range.first_chunk, !counted};
    GRADSTAB_RETURN_IF_ERROR(device_->launch(kernel, tables_, launch, stream));
    counted = true;
  }
  if (counted) return {};
  // Nothing to write, but a step all the same.
  return device_->launch({Pass::apply}, tables_, {1, tables_.chunk_count, true}, stream);
}

Status DeviceEngine::step_one(std::size_t index, const TensorRef& parameter, const TensorRef& gradient,
                              Stream stream) {
  GRADSTAB_RETURN_IF_ERROR(check_gradient(index, gradient));
  GRADSTAB_RETURN_IF_ERROR(check_parameter(index, parameter, gradient));
  wanted_.assign(count(), {});
  wanted_[index] = storage_of(parameter.dtype, low_precision_);
  GRADSTAB_RETURN_IF_ERROR(allocate_states(stream));
  // The address goes with the launch: a copy into the tables for each parameter would soon have to wait.
  Launch launch;
  launch.of_one = true;
  launch.tensor = static_cast<std::uint32_t>(index);
  launch.address = {gradient.data, parameter.data, gradient.dtype};
  launch.first_chunk = chunks_[index].first;
  const auto start = [&](Kernel kernel, std::uint32_t blocks) {
    launch.blocks = blocks;
    return blocks == 0 ? Status() : device_->launch(kernel, tables_, launch, stream);
  };
  if (tables_.measures) GRADSTAB_RETURN_IF_ERROR(start({Pass::measure}, chunks_[index].count));
  GRADSTAB_RETURN_IF_ERROR(start({Pass::decide}, 1));
  return start({Pass::update, rules_[index].rule}, chunks_[index].count);
}

Status DeviceEngine::set_groups(std::span<const GroupSettings> groups, Stream stream) {
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  if (*capturing) {
    return {StatusCode::failed_precondition,
            "settings were changed while the stream is being captured, where every replay would set them "
            "again; set them before the capture or between replays"};
  }
  return group_upload_.upload(groups.data(), stream);
}

Status DeviceEngine::request_reports(Stream stream) {
  const auto capturing = device_->is_capturing(stream);
  if (!capturing) return capturing.status();
  requested_ = Requested::no;
  GRADSTAB_RETURN_IF_ERROR(device_->download(reports_.data(), reports_from_, reports_.bytes(), stream));
  if (!*capturing) GRADSTAB_RETURN_IF_ERROR(device_->record(reports_event_.get(), stream));
  requested_ = *capturing ? Requested::by_a_graph : Requested::yes;
  return {};
}

Result<bool> DeviceEngine::reports_are_ready() const {
  if (requested_ == Requested::yes) return device_->is_done(reports_event_.get());
  return requested_ == Requested::by_a_graph;
}

Result<DeviceEngine::Reports> DeviceEngine::reports() {
  if (requested_ == Requested::no) {
    return Status(StatusCode::failed_precondition,
                  "report was called before a request_report that succeeded");
  }
  if (requested_ == Requested::yes) GRADSTAB_RETURN_IF_ERROR(device_->wait_for(reports_event_.get()));
  const auto* counters = reinterpret_cast<const StepCounters*>(reports_.data());
  const auto* reports = reinterpret_cast<const TensorReport*>(reports_.data() + kReportsAt);
  return Reports{{reports, count()}, *counters};
}

}  // namespace gradstab::device
