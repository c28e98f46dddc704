// Saving, loading and exchanging what an optimizer remembers.
#include <algorithm>
#include <cstring>

#include "core/base/text.hpp"
#include "core/optimizer/optimizer_impl.hpp"

namespace gradstab {
namespace {

/// Counting on from here stays far from the end of the type.
constexpr std::int64_t kLargestStep = std::int64_t{1} << 53;

Status corrupt(std::string message) {
  return {StatusCode::corrupt_data, std::move(message)};
}

std::span<const std::byte> bytes_of(const ZeroedArray& array) {
  return {array.data(), array.bytes()};
}

void save_memory(ByteWriter& writer, const ParameterMemory& memory) {
  writer.put(static_cast<std::uint8_t>(memory.storage ? static_cast<int>(*memory.storage) + 1 : 0));
  writer.put(memory.step);
  for (const ZeroedArray& array : {std::cref(memory.states[0]), std::cref(memory.states[1]),
                                   std::cref(memory.states[2]), std::cref(memory.master)}) {
    writer.put(static_cast<std::uint64_t>(array.bytes()));
    writer.put(bytes_of(array));
  }
  writer.put(static_cast<std::uint64_t>(memory.unit_second.size()));
  writer.put(std::as_bytes(std::span(memory.unit_second)));
}

Status load_array(ByteReader& reader, const ZeroedArray& into, const std::string& name) {
  const auto bytes = reader.get<std::uint64_t>();
  if (!reader.ok()) return corrupt("state ends inside the arrays of '" + name + "'");
  if (bytes != into.bytes()) {
    return {StatusCode::shape_mismatch,
            detail::concat("state of '", name, "' has an array of ", bytes, " bytes, expected ", into.bytes(),
                           "; momentum, amsgrad and the units of adam_mini must be those of the saved run")};
  }
  const auto content = reader.get_bytes(bytes);
  if (!reader.ok()) return corrupt("state ends inside the arrays of '" + name + "'");
  std::ranges::copy(content, into.data());
  return {};
}

Result<ParameterMemory> load_memory(ByteReader& reader, const ParameterRule& rule,
                                    const Parameter& parameter) {
  ParameterMemory memory;
  const auto storage = reader.get<std::uint8_t>();
  const auto step = reader.get<std::int64_t>();
  const bool possible =
      storage <= kParameterStorageCount && step >= 0 && step <= kLargestStep && (storage > 0 || step == 0);
  if (!reader.ok() || !possible) {
    return corrupt("state holds an impossible parameter '" + parameter.name + "'");
  }
  if (storage > 0) {
    allocate(memory, rule, static_cast<ParameterStorage>(storage - 1),
             static_cast<std::size_t>(element_count(parameter.sizes)), nullptr);
  }
  memory.step = step;
  for (const ZeroedArray* array : {&memory.states[0], &memory.states[1], &memory.states[2], &memory.master})
    GRADSTAB_RETURN_IF_ERROR(load_array(reader, *array, parameter.name));
  const auto units = reader.get<std::uint64_t>();
  if (!reader.ok()) return corrupt("state ends inside the units of '" + parameter.name + "'");
  if (units != memory.unit_second.size()) {
    return Status(StatusCode::shape_mismatch,
                  detail::concat("state of '", parameter.name, "' has ", units, " units, expected ",
                                 memory.unit_second.size(), "; adam_mini divides it otherwise here"));
  }
  const auto content = reader.get_bytes(units * sizeof(double));
  if (!reader.ok()) return corrupt("state ends inside the units of '" + parameter.name + "'");
  std::ranges::copy(content, std::as_writable_bytes(std::span(memory.unit_second)).begin());
  return memory;
}

}  // namespace

std::vector<std::byte> Optimizer::Impl::save() const {
  ByteWriter payload;
  payload.put(kOptimizerMarker);
  payload.put(name_of(default_options));
  payload.put(steps);
  const auto of_transform = inner().save();
  payload.put(static_cast<std::uint64_t>(of_transform.size()));
  payload.put(std::span<const std::byte>(of_transform));
  payload.put(static_cast<std::uint64_t>(memory.size()));
  for (std::size_t i = 0; i < memory.size(); ++i) {
    payload.put(std::string_view(inner().parameters[i].name));
    save_memory(payload, memory[i]);
  }
  return wrap_state(payload.bytes());
}

Status Optimizer::Impl::load(std::span<const std::byte> bytes, std::span<const std::string> names) {
  measured = false;
  const auto payload = unwrap_state(bytes);
  if (!payload) return payload.status();
  ByteReader reader(*payload);
  if (reader.get_string() != kOptimizerMarker) {
    return {StatusCode::corrupt_data,
            "the state is that of a gradient transform, expected one of an optimizer"};
  }
  const std::string kind = reader.get_string();
  if (!reader.ok()) return corrupt("state ends inside its header");
  if (kind != name_of(default_options)) {
    return {StatusCode::shape_mismatch,
            detail::concat("saved state is of '", kind, "', expected '", name_of(default_options), "'")};
  }
  const auto saved_steps = reader.get<std::int64_t>();
  const auto of_transform = reader.get_bytes(reader.get<std::uint64_t>());
  const auto count = reader.get<std::uint64_t>();
  if (!reader.ok()) return corrupt("state ends inside its header");
  if (saved_steps < 0 || saved_steps > kLargestStep)
    return corrupt(detail::concat("state has made an impossible number of steps, ", saved_steps));
  // First of all, so that another model is reported as one, and not as arrays that do not fit.
  GRADSTAB_RETURN_IF_ERROR(inner().check_parameters(of_transform, names));
  // `save` has its parameters in the order in which its transform has them.
  std::size_t position = 0;
  if (count != memory.size()) {
    return {StatusCode::shape_mismatch,
            detail::concat("saved state has ", count, " parameters, this optimizer has ", memory.size())};
  }
  std::vector<ParameterMemory> loaded(memory.size());
  std::vector<bool> seen(memory.size(), false);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string name = reader.get_string();
    if (!names.empty() && position < names.size()) name = names[position++];
    const std::ptrdiff_t found = reader.ok() ? inner().parameters.find(name) : -1;
    if (!reader.ok()) return corrupt("state ends inside its list of parameters");
    if (found < 0 || seen[static_cast<std::size_t>(found)]) {
      return {StatusCode::shape_mismatch, "saved state has a parameter '" + name + "' that is " +
                                              (found < 0 ? "not registered here" : "listed twice")};
    }
    const auto index = static_cast<std::size_t>(found);
    seen[index] = true;
    auto state = load_memory(reader, rules[index], inner().parameters[index]);
    if (!state) return state.status();
    loaded[index] = std::move(*state);
  }
  if (!reader.ok() || reader.remaining() != 0)
    return corrupt("state has a length that does not fit its content");
  // Last, because it is the one that cannot be taken back; it leaves all as it was on an error of its own.
  GRADSTAB_RETURN_IF_ERROR(inner().load(of_transform, true, names));
  memory = std::move(loaded);
  steps = saved_steps;
  return {};
}

namespace {

Status no_parameter(std::size_t index, std::size_t count) {
  return {StatusCode::invalid_argument,
          detail::concat("there is no parameter ", index, "; ", count, " are registered")};
}

template <class Visit>
void for_each_value(const ParameterMemory& memory, std::size_t k, std::size_t count, Visit visit) {
  for (std::size_t i = 0; i < count; ++i) {
    if (memory.storage == ParameterStorage::float64) {
      visit(i, reinterpret_cast<double*>(memory.states[k].data())[i]);
    } else {
      visit(i, reinterpret_cast<float*>(memory.states[k].data())[i]);
    }
  }
}

}  // namespace

Result<Optimizer::ParameterState> Optimizer::parameter_state(std::size_t index) const {
  const Impl& impl = *impl_;
  if (!impl.ready()) return not_initialised("parameter_state");
  if (index >= impl.memory.size()) return no_parameter(index, impl.memory.size());
  const ParameterMemory& memory = impl.memory[index];
  ParameterState state;
  state.step = memory.step;
  state.steps = impl.steps;
  if (!memory.storage) return state;
  const auto count = static_cast<std::size_t>(element_count(impl.inner().parameters[index].sizes));
  for (std::size_t k = 0; k < state_count(impl.rules[index].rule); ++k) {
    auto& values = state.values.emplace_back(count);
    for_each_value(memory, k, count, [&](std::size_t i, const auto& value) { values[i] = value; });
  }
  if (impl.rules[index].unit_moments) state.values.push_back(memory.unit_second);
  const auto* master = reinterpret_cast<const float*>(memory.master.data());
  state.master.assign(master, master + memory.master.bytes() / sizeof(float));
  return state;
}

Result<std::int64_t> Optimizer::step_of(std::size_t index) const {
  if (!impl_->ready()) return not_initialised("step_of");
  if (index >= impl_->memory.size()) return no_parameter(index, impl_->memory.size());
  return impl_->memory[index].step;
}

Status Optimizer::set_parameter_state(std::size_t index, DType dtype, const ParameterState& state) {
  Impl& impl = *impl_;
  if (!impl.ready()) return not_initialised("set_parameter_state");
  if (index >= impl.memory.size()) return no_parameter(index, impl.memory.size());
  const Parameter& parameter = impl.inner().parameters[index];
  const ParameterRule& rule = impl.rules[index];
  if (state.step == 0 && state.values.empty()) {
    impl.memory[index] = {};
    impl.steps = std::max(impl.steps, state.steps);
    return {};
  }
  const auto count = static_cast<std::size_t>(element_count(parameter.sizes));
  std::vector<std::size_t> lengths(state_count(rule.rule), count);
  if (rule.unit_moments) lengths.push_back(rule.units);
  const bool fits = state.step >= 0 && state.step <= kLargestStep && state.steps <= kLargestStep &&
                    std::ranges::equal(state.values, lengths, {}, &std::vector<double>::size);
  if (!fits) {
    std::string text;
    for (const std::size_t length : lengths) text += detail::concat(text.empty() ? "" : ", ", length);
    return {StatusCode::shape_mismatch,
            detail::concat("state of '", parameter.name, "' must have ", lengths.size(), " arrays of [", text,
                           "] values and a step of at least 0")};
  }
  if (dtype != DType::float32 && dtype != DType::float64 && dtype != DType::bfloat16) {
    return {
        StatusCode::unsupported,
        detail::concat("state of '", parameter.name,
                       "' can be set for float32, float64 and bfloat16 parameters, got ", to_string(dtype))};
  }
  const ParameterStorage storage = storage_of(dtype, impl.run.low_precision);
  const std::size_t copied = storage == ParameterStorage::bfloat16_master ? count : 0;
  if (state.master.size() != copied) {
    return {StatusCode::shape_mismatch,
            detail::concat("state of '", parameter.name, "', ", describe(storage), ", must have a copy of ",
                           copied, " values, got ", state.master.size())};
  }
  ParameterMemory& memory = impl.memory[index];
  allocate(memory, rule, storage, count, nullptr);
  memory.step = state.step;
  std::ranges::transform(state.master, reinterpret_cast<float*>(memory.master.data()),
                         [](double value) { return static_cast<float>(value); });
  for (std::size_t k = 0; k < state_count(rule.rule); ++k) {
    for_each_value(memory, k, count, [&](std::size_t i, auto& value) {
      value = static_cast<std::remove_reference_t<decltype(value)>>(state.values[k][i]);
    });
  }
  if (rule.unit_moments) memory.unit_second = state.values.back();
  impl.steps = std::max({impl.steps, state.step, state.steps});
  return {};
}

}  // namespace gradstab
