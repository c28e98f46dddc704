// DeviceEngine: what it remembers, to and from the host.
#include <algorithm>
#include <cstring>

#include "cuda/engine.hpp"

namespace gradstab::device {

Status DeviceEngine::fetch(void* to, const void* from, std::size_t bytes, Stream stream) const {
  if (bytes == 0) return {};
  GRADSTAB_RETURN_IF_ERROR(device_->download(to, from, bytes, stream));
  return device_->wait_for_stream(stream);
}

Status DeviceEngine::put(void* to, const void* from, std::size_t bytes, Stream stream) const {
  if (bytes == 0) return {};
  GRADSTAB_RETURN_IF_ERROR(device_->upload(to, from, bytes, stream));
  return device_->wait_for_stream(stream);
}

Result<DeviceEngine::State> DeviceEngine::download(Stream stream) const {
  State state;
  StepCounters counters;
  GRADSTAB_RETURN_IF_ERROR(fetch(&counters, tables_.counters, sizeof counters, stream));
  state.updates = counters.updates;
  if (tables_.stabilizes) {
    state.moments.resize(count());
    GRADSTAB_RETURN_IF_ERROR(
        fetch(state.moments.data(), tables_.moments, count() * sizeof(NormMoments), stream));
  }
  if (!tables_.optimizes) return state;
  std::vector<std::int64_t> steps(count());
  GRADSTAB_RETURN_IF_ERROR(fetch(steps.data(), tables_.steps, count() * sizeof(std::int64_t), stream));
  state.memory.resize(count());
  for (std::size_t t = 0; t < count(); ++t) {
    // State that is allocated, but not yet stepped, is not there.
    if (!storages_[t] || steps[t] == 0) continue;
    ParameterMemory& memory = state.memory[t];
    allocate(memory, rules_[t], *storages_[t], elements(t), nullptr);
    memory.step = steps[t];
    for (std::size_t k = 0; k < state_count(rules_[t].rule); ++k) {
      const ZeroedArray& array = memory.states[k];
      GRADSTAB_RETURN_IF_ERROR(fetch(array.data(), states_[t].states[k], array.bytes(), stream));
    }
    if (states_[t].master != nullptr)
      GRADSTAB_RETURN_IF_ERROR(fetch(memory.master.data(), states_[t].master, memory.master.bytes(), stream));
    if (!rules_[t].unit_moments) continue;
    const double* current = tables_.unit_second[steps[t] % 2] + first_segment_[t];
    GRADSTAB_RETURN_IF_ERROR(
        fetch(memory.unit_second.data(), current, memory.unit_second.size() * sizeof(double), stream));
  }
  return state;
}

Status DeviceEngine::upload(const State& state, Stream stream) {
  const StepCounters counters{state.updates, 0, 0};
  GRADSTAB_RETURN_IF_ERROR(put(tables_.counters, &counters, sizeof counters, stream));
  if (tables_.stabilizes)
    GRADSTAB_RETURN_IF_ERROR(
        put(tables_.moments, state.moments.data(), count() * sizeof(NormMoments), stream));
  if (!tables_.optimizes) return {};
  // Whoever is still working on the old state must be done before it is freed.
  GRADSTAB_RETURN_IF_ERROR(device_->wait_for_stream(stream));
  state_memory_.clear();
  states_.assign(count(), {});
  storages_.assign(count(), {});
  std::vector<std::int64_t> steps(count());
  for (std::size_t t = 0; t < count(); ++t) {
    wanted_[t] = state.memory[t].storage;
    steps[t] = state.memory[t].step;
  }
  GRADSTAB_RETURN_IF_ERROR(allocate_states(stream));
  GRADSTAB_RETURN_IF_ERROR(put(tables_.steps, steps.data(), count() * sizeof(std::int64_t), stream));
  for (std::size_t t = 0; t < count(); ++t) {
    const ParameterMemory& memory = state.memory[t];
    if (!memory.storage) continue;
    for (std::size_t k = 0; k < state_count(rules_[t].rule); ++k) {
      const ZeroedArray& array = memory.states[k];
      GRADSTAB_RETURN_IF_ERROR(put(states_[t].states[k], array.data(), array.bytes(), stream));
    }
    if (states_[t].master != nullptr)
      GRADSTAB_RETURN_IF_ERROR(put(states_[t].master, memory.master.data(), memory.master.bytes(), stream));
    if (!rules_[t].unit_moments) continue;
    for (double* second : tables_.unit_second) {
      GRADSTAB_RETURN_IF_ERROR(put(second + first_segment_[t], memory.unit_second.data(),
                                   memory.unit_second.size() * sizeof(double), stream));
    }
  }
  return {};
}

}  // namespace gradstab::device
