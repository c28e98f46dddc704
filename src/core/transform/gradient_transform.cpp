// GradientTransform: binds links to parameters, runs steps, saves and restores.
#include <algorithm>
#include <utility>

#include "core/base/errors_as_values.hpp"
#include "core/base/text.hpp"
#include "core/transform/transform_impl.hpp"
#include "gradstab/backend.hpp"

namespace gradstab {

Status GradientTransform::Impl::init(ParameterSet set, RunOptions run,
                                     std::vector<std::size_t> wanted_pieces) {
  GRADSTAB_RETURN_IF_ERROR(validate());
  const auto found = find_backend(run.backend);
  if (!found) return found.status();
  initialised = false;
  backend = *found;
  options = std::move(run);
  if (!options.executor) options.executor = serial_executor();
  parameters = std::move(set);
  pieces = std::move(wanted_pieces);
  GRADSTAB_RETURN_IF_ERROR(bind());
  initialised = true;
  return {};
}

Status GradientTransform::Impl::validate() const {
  GRADSTAB_RETURN_IF_ERROR(error);
  const ChainLink* writes = nullptr;
  for (const auto& link : links) {
    GRADSTAB_RETURN_IF_ERROR(link->validate());
    if (link->as_element_transform() != nullptr) writes = link.get();
    if (writes == nullptr || !link->may_fail()) continue;
    return {StatusCode::unsupported,
            detail::concat("'", link->name(), "' stands behind '", writes->name(),
                           "', which has already changed the gradients when '", link->name(),
                           "' decides, and that may fail; put it in front")};
  }
  return {};
}

/// Fresh state for the parameters at hand.
Status GradientTransform::Impl::bind() {
  report = {};
  const bool rows = std::ranges::any_of(links, [](const auto& link) { return link->needs_rows(); });
  const Segments segments = pieces.empty() ? Segments(parameters, rows) : Segments(pieces);
  for (const auto& link : links) GRADSTAB_RETURN_IF_ERROR(link->bind(parameters, segments));
  engine.bind(parameters, segments, links, *backend, options);
  updates = 0;
  last_step.reset();
  report = engine.summarize();
  return {};
}

Status GradientTransform::Impl::check_step(std::optional<std::int64_t> step) const {
  if (!initialised) return {StatusCode::failed_precondition, "update was called before a successful init"};
  if (step && last_step && *step <= *last_step) {
    return {StatusCode::failed_precondition,
            detail::concat("update was called for step ", *step, " after step ", *last_step,
                           "; each step may transform its gradients once")};
  }
  return {};
}

Status GradientTransform::Impl::take(std::span<const TensorRef> tensors, std::optional<std::int64_t> step,
                                     std::optional<std::span<const TensorRef>> values) {
  GRADSTAB_RETURN_IF_ERROR(check_step(step));
  report = {};
  report.step = updates;
  GRADSTAB_RETURN_IF_ERROR(engine.take(parameters, tensors));
  if (!engine.needs_parameters() || parameters.size() == 0) return {};
  if (values) return engine.take_parameters(parameters, *values);
  const auto asks =
      std::ranges::find_if(links, [](const auto& link) { return link->needs().parameter_norms; });
  return {StatusCode::failed_precondition,
          detail::concat("'", (*asks)->name(),
                         "' compares gradients with their parameters, which were not given; call "
                         "update(gradients, parameters)")};
}

Status GradientTransform::Impl::check_sees_norms_alone(std::string_view instead) const {
  for (const auto& link : links) {
    if (link->sees_norms_alone()) continue;
    return {StatusCode::unsupported,
            detail::concat("'", link->name(), "'", link->needs_rows() ? " per row" : "",
                           " needs more than the norms of whole tensors, which is all that there is here; ",
                           instead)};
  }
  return {};
}

Result<StepReport> GradientTransform::Impl::decide(std::span<const double> squared_norms,
                                                   std::optional<std::int64_t> step) {
  GRADSTAB_RETURN_IF_ERROR(check_step(step));
  GRADSTAB_RETURN_IF_ERROR(check_sees_norms_alone("give the gradients to update instead"));
  if (squared_norms.size() != parameters.size()) {
    return Status(StatusCode::shape_mismatch,
                  detail::concat("got ", squared_norms.size(), " squared norms for ", parameters.size(),
                                 " registered parameters"));
  }
  report = {};
  report.step = updates;
  engine.take_nothing(parameters);
  engine.give(squared_norms);
  return run(step);
}

Result<StepReport> GradientTransform::Impl::run(std::optional<std::int64_t> step, GradientSink* sink) {
  const auto outcome =
      undone_if_it_fails({0, parameters.size()}, [&] { return engine.run(parameters, sink); });
  const bool skipped = outcome && *outcome == StepEngine::Outcome::skipped;
  if (outcome && step) last_step = step;
  updates += outcome && !skipped ? 1 : 0;
  report = engine.summarize();
  report.skip_step = skipped;
  report.step = updates;
  if (!outcome) return outcome.status();
  return report;
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
    save_settings(payload, settings);
    link->save_state(payload, {0, parameters.size()});
  }
  return wrap_state(payload.bytes());
}

/// For each saved tensor its position now, or -1, its rows and its name in the state.
Result<GradientTransform::Impl::SavedList> GradientTransform::Impl::read_parameters(
    ByteReader& reader, bool same_parameters, std::span<const std::string> names) const {
  const auto mismatch = [](std::string message) {
    return Status(StatusCode::shape_mismatch, std::move(message));
  };
  const auto count = reader.get<std::uint64_t>();
  if (!names.empty() && names.size() != count) {
    return Status(StatusCode::invalid_argument,
                  detail::concat("got ", names.size(), " names for ", count, " saved parameters"));
  }
  SavedList saved;
  std::vector<bool> seen(parameters.size(), false);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string name = reader.get_string();
    saved.names.push_back(name);
    if (!names.empty()) name = names[i];
    std::vector<std::int64_t> sizes;
    const auto rank = reader.get<std::uint32_t>();
    for (std::uint32_t d = 0; d < rank && reader.ok(); ++d) sizes.push_back(reader.get<std::int64_t>());
    if (!reader.ok()) return Status(StatusCode::corrupt_data, "state ends inside its list of parameters");
    const std::ptrdiff_t found = parameters.find(name);
    saved.position.push_back(found);
    saved.rows.push_back(row_count(sizes));
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
    if (seen[index]) {
      return Status(StatusCode::corrupt_data, "saved state has parameter '" + name + "' twice");
    }
    seen[index] = true;
  }
  const auto missing = std::ranges::find(seen, false);
  if (same_parameters && missing != seen.end()) {
    const auto index = static_cast<std::size_t>(missing - seen.begin());
    return mismatch("saved state has no parameter '" + parameters[index].name + "'");
  }
  return saved;
}

Status GradientTransform::Impl::check_parameters(std::span<const std::byte> bytes,
                                                 std::span<const std::string> names) const {
  const auto payload = unwrap_state(bytes);
  if (!payload) return payload.status();
  ByteReader reader(*payload);
  reader.get<std::int64_t>();
  return read_parameters(reader, true, names).status();
}

Status GradientTransform::Impl::load_payload(ByteReader& reader, bool same_parameters,
                                             std::span<const std::string> names) {
  updates = reader.get<std::int64_t>();
  if (!is_count(updates)) {
    return {StatusCode::corrupt_data,
            detail::concat("state holds an impossible number of updates, ", updates)};
  }
  const auto saved = read_parameters(reader, same_parameters, names);
  if (!saved) return saved.status();
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
    GRADSTAB_RETURN_IF_ERROR(check_settings(reader, settings, saved_name));
    GRADSTAB_RETURN_IF_ERROR(
        link->load_state(reader, {saved->position, saved->rows, same_parameters, saved->names}));
  }
  if (!reader.ok() || reader.remaining() != 0) {
    return {StatusCode::corrupt_data, "state has a length that does not fit its content"};
  }
  return {};
}

Status GradientTransform::Impl::load(std::span<const std::byte> bytes, bool same_parameters,
                                     std::span<const std::string> names) {
  const auto payload = unwrap_state(bytes);
  if (!payload) return payload.status();
  const std::vector<std::byte> before = save();
  const bool usable = std::exchange(initialised, false);  // stays false if there is no memory to go back
  const auto undo = [&] {
    ByteReader reader(*unwrap_state(before));
    load_payload(reader, true, {}).check();
    initialised = usable;
  };
  try {
    ByteReader reader(*payload);
    if (Status status = load_payload(reader, same_parameters, names); !status.ok()) {
      undo();
      return status;
    }
  } catch (...) {  // out of memory
    undo();
    throw;
  }
  initialised = usable;
  last_step.reset();  // a run that goes back to a checkpoint counts from there again
  return {};
}

std::vector<std::string> GradientTransform::Impl::names_without(const ParameterSet& now,
                                                                std::span<const std::size_t> fresh) const {
  std::vector<std::string> names;
  names.reserve(parameters.size());
  for (const Parameter& parameter : parameters) names.push_back(parameter.name);
  for (const std::size_t index : fresh) {
    const std::ptrdiff_t before = index < now.size() ? parameters.find(now[index].name) : -1;
    if (before >= 0) names[static_cast<std::size_t>(before)].clear();
  }
  return names;
}

GradientTransform::GradientTransform(std::unique_ptr<ChainLink> method) : impl_(std::make_unique<Impl>()) {
  impl_->links.push_back(std::move(method));
}
GradientTransform::GradientTransform(Status error) : impl_(std::make_unique<Impl>()) {
  impl_->error = std::move(error);
}
GradientTransform::GradientTransform(GradientTransform&&) noexcept = default;
GradientTransform& GradientTransform::operator=(GradientTransform&&) noexcept = default;
GradientTransform::~GradientTransform() = default;

Status GradientTransform::validate() const {
  return impl_->validate();
}

Status GradientTransform::init(ParameterSet parameters, RunOptions options) {
  return impl_->init(std::move(parameters), std::move(options));
}

Result<StepReport> GradientTransform::update(std::span<const TensorRef> gradients,
                                             std::optional<std::int64_t> step) {
  GRADSTAB_RETURN_IF_ERROR(impl_->take(gradients, step));
  return impl_->run(step);
}

Result<StepReport> GradientTransform::update(std::span<const TensorRef> gradients,
                                             std::span<const TensorRef> parameters,
                                             std::optional<std::int64_t> step) {
  GRADSTAB_RETURN_IF_ERROR(impl_->take(gradients, step, parameters));
  return impl_->run(step);
}

Result<StepReport> GradientTransform::decide(std::span<const double> squared_norms,
                                             std::optional<std::int64_t> step) {
  return impl_->decide(squared_norms, step);
}

const StepReport& GradientTransform::report() const noexcept {
  return impl_->report;
}

std::vector<MethodState> GradientTransform::state() const {
  std::vector<MethodState> states;
  for (const auto& link : impl_->links) states.push_back({link->name(), link->state()});
  return states;
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

bool GradientTransform::sees_norms_alone() const noexcept {
  return std::ranges::all_of(impl_->links, [](const auto& link) { return link->sees_norms_alone(); });
}

bool GradientTransform::needs_parameters() const noexcept {
  return std::ranges::any_of(impl_->links, [](const auto& link) { return link->needs().parameter_norms; });
}

std::string_view GradientTransform::backend_name() const noexcept {
  return impl_->backend ? impl_->backend->name() : std::string_view();
}

Result<std::vector<std::byte>> GradientTransform::save() const {
  if (!impl_->initialised)
    return Status(StatusCode::failed_precondition, "save was called before a successful init");
  return errors_as_values([&]() -> Result<std::vector<std::byte>> { return impl_->save(); });
}

Status GradientTransform::load(std::span<const std::byte> bytes, std::span<const std::string> names) {
  if (!impl_->initialised)
    return {StatusCode::failed_precondition, "load was called before a successful init"};
  return errors_as_values([&] { return impl_->load(bytes, true, names); });
}

Status GradientTransform::Impl::rebind(ParameterSet now, std::span<const std::size_t> fresh) {
  const std::vector<std::byte> state = save();
  const std::vector<std::string> names = names_without(now, fresh);
  const auto step_before = last_step;
  ParameterSet before = std::exchange(parameters, std::move(now));
  initialised = false;  // stays so if there is no memory to go back
  const auto undo = [&] {
    parameters = std::move(before);
    bind().check();
    load(state, true).check();
    last_step = step_before;
    initialised = true;
  };
  try {
    Status status = bind();
    if (status.ok()) status = load(state, false, names);
    if (!status.ok()) {
      undo();
      return status;
    }
  } catch (...) {  // out of memory
    undo();
    throw;
  }
  last_step = step_before;
  initialised = true;
  return {};
}

Status GradientTransform::rebind(ParameterSet parameters, std::span<const std::size_t> fresh) {
  if (!impl_->initialised)
    return {StatusCode::failed_precondition, "rebind was called before a successful init"};
  return errors_as_values([&] { return impl_->rebind(std::move(parameters), fresh); });
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
