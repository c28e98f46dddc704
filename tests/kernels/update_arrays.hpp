// The arrays of an UpdateBlock, with guards around each.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <memory>

#include "support/elements.hpp"

namespace gradstab::testing {

/// The arrays of one block, each with guards around it.
struct Arrays {
  Arrays(ParameterStorage kind, DType gradient_type, std::size_t length, std::size_t offset)
      : storage(kind),
        count(length),
        parameter(kind == ParameterStorage::float64   ? DType::float64
                  : kind == ParameterStorage::float32 ? DType::float32
                                                      : DType::bfloat16,
                  length, offset),
        master(DType::float32, length, offset),
        gradient(gradient_type, length, offset) {
    const DType type = kind == ParameterStorage::float64 ? DType::float64 : DType::float32;
    // Each array at another distance from an aligned address.
    for (std::size_t k = 0; k < kMaxStates; ++k)
      states[k] = std::make_unique<Elements>(type, length, offset == 0 ? 0 : offset + k + 1);
    fill(1);
  }

  void fill(unsigned seed) {
    parameter.fill(seed);
    gradient.fill(seed + 1, 0.5);
    for (std::size_t k = 0; k < kMaxStates; ++k) {
      states[k]->fill(seed + 2 + static_cast<unsigned>(k), 0.5);
      // Second moments are positive, and well away from 0 so that their roots' relative error is bounded.
      for (std::size_t i = 0; k > 0 && i < count; ++i) states[k]->set(i, 0.05 + std::fabs(states[k]->get(i)));
    }
    // A master copy holds more digits than its parameter.
    for (std::size_t i = 0; i < count; ++i) master.set(i, parameter.get(i) * (1.0 + 0.001));
  }

  UpdateBlock block(UpdateRule rule, std::uint32_t key = 0) {
    UpdateBlock result;
    result.rule = rule;
    result.storage = storage;
    result.gradient_dtype = gradient.dtype();
    result.parameter = parameter.data();
    if (storage == ParameterStorage::bfloat16_master) result.master = reinterpret_cast<float*>(master.data());
    result.gradient = gradient.data();
    for (std::size_t k = 0; k < state_count(rule); ++k) result.states[k] = states[k]->data();
    result.count = count;
    result.random_key = key;
    return result;
  }

  bool guards_intact() const {
    bool intact = parameter.guards_intact() && master.guards_intact() && gradient.guards_intact();
    for (const auto& state : states) intact = intact && state->guards_intact();
    return intact;
  }

  ParameterStorage storage;
  std::size_t count;
  Elements parameter, master, gradient;
  std::array<std::unique_ptr<Elements>, kMaxStates> states;
};

inline bool same_arrays(const Arrays& a, const Arrays& b) {
  bool same = same_elements(a.parameter, b.parameter) && same_elements(a.master, b.master) &&
              same_elements(a.gradient, b.gradient);
  for (std::size_t k = 0; k < kMaxStates; ++k) same = same && same_elements(*a.states[k], *b.states[k]);
  return same;
}

}  // namespace gradstab::testing
