// The optimizer update of one chunk: the rules of core/optimizer/update_rules-inl.hpp in float32, one
// rounding per operation, or in double where float32 has not the numbers of the step. Bit for bit what the
// CPU's SIMD backends compute from the same numbers.
#pragma once

#include "backends/cuda/elements.hpp"
#include "backends/cuda/tables.hpp"
#include "core/base/random_key.hpp"
#include "core/optimizer/scalar_arithmetic.hpp"
#include "core/optimizer/update_rules-inl.hpp"

namespace gradstab::device {

// Parameters: what is read, and what is written.

struct SingleParameter {
  using Bits = std::uint32_t;
  static constexpr bool kMaster = false;
  GRADSTAB_DEVICE_INLINE static float load(std::uint32_t bits, float) { return float_of(bits); }
  GRADSTAB_DEVICE_INLINE static std::uint32_t round(float value, std::uint32_t) { return bits_of(value); }
};

struct MasterParameter {
  using Bits = std::uint16_t;
  static constexpr bool kMaster = true;
  GRADSTAB_DEVICE_INLINE static float load(std::uint16_t, float master) { return master; }
  GRADSTAB_DEVICE_INLINE static std::uint16_t round(float value, std::uint32_t) {
    return BrainFormat::round(value);
  }
};

struct StochasticParameter {
  using Bits = std::uint16_t;
  static constexpr bool kMaster = false;
  GRADSTAB_DEVICE_INLINE static float load(std::uint16_t bits, float) { return BrainFormat::load(bits); }
  GRADSTAB_DEVICE_INLINE static std::uint16_t round(float value, std::uint32_t random_index) {
    if (value != value) return BrainFormat::round(value);
    const std::uint32_t random = mixed_bits<ScalarIntOps>(random_index) & 0xFFFFu;
    return static_cast<std::uint16_t>((bits_of(value) + random) >> 16);
  }
};

/// The arrays of one chunk, and what of them is not what it seems.
struct UpdateArrays {
  void* parameter = nullptr;
  float* master = nullptr;
  const void* gradient = nullptr;
  float* states[kMaxStates] = {};
  std::uint32_t count = 0;
  std::uint32_t random_first = 0;  ///< key of stochastic rounding plus the first element's index
  std::uint32_t resets = 0;        ///< state arrays, from the first on, that are read as zero
  bool zeroed = false;             ///< the gradient is read as zero
  bool fresh = false;              ///< the master copy is filled from the parameter in this step
};

/// Elements that a thread updates together: 16 bytes of float32.
inline constexpr int kUpdateGroup = 4;

/// The elements of one group on their way through registers.
template <UpdateRule kRule, class Parameter, class Gradient, int kCount>
struct UpdateGroup {
  static constexpr int kStates = static_cast<int>(kStateCount<kRule>);
  typename Parameter::Bits parameter[kCount];
  typename Gradient::Bits gradient[kCount];
  float master[kCount];
  float states[kStates + 1][kCount];

  GRADSTAB_DEVICE_INLINE void load(const UpdateArrays& a, std::uint32_t at) {
    load_group(parameter, static_cast<const typename Parameter::Bits*>(a.parameter) + at);
    if (!a.zeroed) load_group(gradient, static_cast<const typename Gradient::Bits*>(a.gradient) + at);
    if constexpr (Parameter::kMaster) {
      if (!a.fresh) load_group(master, a.master + at);
    }
    GRADSTAB_UNROLL
    for (int k = 0; k < kStates; ++k) load_group(states[k], a.states[k] + at);
  }

  template <class Ops>
  GRADSTAB_DEVICE_INLINE void update(const UpdateArrays& a, const RuleScalars<Ops>& s, std::uint32_t at) {
    GRADSTAB_UNROLL
    for (int i = 0; i < kCount; ++i) {
      typename Ops::V old[kStates + 1];
      GRADSTAB_UNROLL
      for (int k = 0; k < kStates; ++k)
        old[k] = static_cast<std::uint32_t>(k) < a.resets ? 0.0f : states[k][i];
      float low = 0.0f;
      if constexpr (Parameter::kMaster) low = a.fresh ? BrainFormat::load(parameter[i]) : master[i];
      const float g = a.zeroed ? 0.0f : Gradient::load(gradient[i]);
      const typename Ops::V p = Parameter::load(parameter[i], low);
      const auto updated =
          static_cast<float>(Rule<kRule>::template update<Ops>(s, p, typename Ops::V{g}, old));
      if constexpr (Parameter::kMaster) master[i] = updated;
      parameter[i] = Parameter::round(updated, a.random_first + at + static_cast<std::uint32_t>(i));
      GRADSTAB_UNROLL
      for (int k = 0; k < kStates; ++k) states[k][i] = static_cast<float>(old[k]);
    }
  }

  GRADSTAB_DEVICE_INLINE void store(const UpdateArrays& a, std::uint32_t at) const {
    store_group(static_cast<typename Parameter::Bits*>(a.parameter) + at, parameter);
    if constexpr (Parameter::kMaster) store_group(a.master + at, master);
    GRADSTAB_UNROLL
    for (int k = 0; k < kStates; ++k) store_group(a.states[k] + at, states[k]);
  }
};

/// Whether every array of the chunk allows one access per group.
template <UpdateRule kRule, class Parameter, class Gradient>
GRADSTAB_DEVICE_INLINE bool groups_are_aligned(const UpdateArrays& a) {
  bool aligned = aligned_to(a.parameter, kUpdateGroup * sizeof(typename Parameter::Bits)) &&
                 aligned_to(a.gradient, kUpdateGroup * sizeof(typename Gradient::Bits)) &&
                 aligned_to(a.master, kUpdateGroup * sizeof(float));
  for (std::size_t k = 0; k < kStateCount<kRule>; ++k)
    aligned = aligned && aligned_to(a.states[k], kUpdateGroup * sizeof(float));
  return aligned;
}

/// The part of one thread. Two groups are in flight at the same time. Where an array is not aligned, single
/// elements: who computes one does not matter to it.
template <UpdateRule kRule, class Parameter, class Gradient>
GRADSTAB_DEVICE_INLINE void thread_update(const UpdateArrays& a, const RuleScalars<ScalarOps<float>>& s,
                                          unsigned thread) {
  using Group = UpdateGroup<kRule, Parameter, Gradient, kUpdateGroup>;
  const std::uint32_t groups = groups_are_aligned<kRule, Parameter, Gradient>(a) ? a.count / kUpdateGroup : 0;
  std::uint32_t first = thread;
  for (; first + kThreads < groups; first += 2 * kThreads) {
    const std::uint32_t at = first * kUpdateGroup;
    const std::uint32_t next = (first + kThreads) * kUpdateGroup;
    Group one;
    Group two;
    one.load(a, at);
    two.load(a, next);
    one.update(a, s, at);
    one.store(a, at);
    two.update(a, s, next);
    two.store(a, next);
  }
  if (first < groups) {
    Group one;
    one.load(a, first * kUpdateGroup);
    one.update(a, s, first * kUpdateGroup);
    one.store(a, first * kUpdateGroup);
  }
  for (std::uint32_t i = groups * kUpdateGroup + thread; i < a.count; i += kThreads) {
    UpdateGroup<kRule, Parameter, Gradient, 1> single;
    single.load(a, i);
    single.update(a, s, i);
    single.store(a, i);
  }
}

/// The same in double, element by element: rare, so that nothing is in flight for it.
template <UpdateRule kRule, class Parameter, class Gradient>
GRADSTAB_DEVICE_INLINE void thread_update(const UpdateArrays& a, const RuleScalars<ScalarOps<double>>& s,
                                          unsigned thread) {
  for (std::uint32_t i = thread; i < a.count; i += kThreads) {
    UpdateGroup<kRule, Parameter, Gradient, 1> single;
    single.load(a, i);
    single.update(a, s, i);
    single.store(a, i);
  }
}

/// body(parameter) with how parameters of this storage are read and written. Devices have all but float64.
template <class Body>
GRADSTAB_DEVICE_INLINE void visit_parameter(ParameterStorage storage, Body body) {
  switch (storage) {
    case ParameterStorage::float32:
      return body(SingleParameter());
    case ParameterStorage::bfloat16_master:
      return body(MasterParameter());
    case ParameterStorage::bfloat16_stochastic:
      return body(StochasticParameter());
    case ParameterStorage::float64:
      break;
  }
  refused_by_the_host();
}

template <UpdateRule kRule, class Ops>
GRADSTAB_DEVICE_INLINE void thread_update(ParameterStorage storage, DType gradient, const UpdateArrays& a,
                                          const RuleScalars<Ops>& s, unsigned thread) {
  visit_parameter(storage, [&]<class Parameter>(Parameter) {
    visit_format(gradient,
                 [&]<class Gradient>(Gradient) { thread_update<kRule, Parameter, Gradient>(a, s, thread); });
  });
}

/// Adam-mini: advances the second moment of the chunk's unit and returns what the step size is divided by.
/// Every block of the unit computes it from the old value; the first one writes the new, to the other array.
template <class Block>
GRADSTAB_HOST_DEVICE double advance_unit(Block& block, const Tables& tables, const Chunk& chunk,
                                         std::uint32_t index, const TensorPlan& plan,
                                         const TensorReport& report, const TensorNumbers& numbers) {
  const auto& settings = tables.groups[plan.group].get<AdamMiniNumbers>();
  const double raw = std::sqrt(tables.segment_squared[chunk.segment]);
  const double norm = report.zeroed ? 0.0 : raw * std::fabs(report.factor);
  const double old = tables.unit_second[(numbers.step + 1) % 2][chunk.segment];
  const double second = advanced_unit_moment(settings, norm, plan.segment_elements(), old);
  if (index == tables.segments[chunk.segment].first_chunk)
    block.lead([&] { tables.unit_second[numbers.step % 2][chunk.segment] = second; });
  return unit_moment_root(second, numbers.unit_correction, settings.epsilon);
}

/// One block: one chunk of a parameter that is updated by this rule.
template <UpdateRule kRule, class Block>
GRADSTAB_HOST_DEVICE void update_chunk(Block& block, const Tables& tables, const Launch& launch,
                                       std::uint32_t index) {
  if (tables.counters->skip != 0) return;
  const Chunk chunk = tables.chunks[index];
  const TensorReport report = tables.reports[chunk.tensor];
  if (!report.present) return;
  const TensorPlan& plan = tables.plans[chunk.tensor];
  const TensorNumbers& numbers = tables.numbers[chunk.tensor];
  const TensorAddress address = launch.address_of(tables, chunk.tensor);
  if (address.gradient == nullptr) return;  // only other processes have a gradient
  const TensorState& state = tables.states[chunk.tensor];
  UpdateScalars scalars = numbers.scalars;
  if (plan.unit_moments)
    scalars.step_size /= advance_unit(block, tables, chunk, index, plan, report, numbers);

  const auto begin = static_cast<std::size_t>(chunk.begin);
  const bool single = state.storage == ParameterStorage::float32;
  UpdateArrays arrays;
  arrays.parameter = static_cast<unsigned char*>(address.parameter) + begin * (single ? 4 : 2);
  arrays.gradient =
      static_cast<const unsigned char*>(address.gradient) + begin * bytes_of(address.gradient_dtype);
  if (state.master != nullptr) arrays.master = state.master + begin;
  for (std::size_t k = 0; k < kStateCount<kRule>; ++k) arrays.states[k] = state.states[k] + begin;
  arrays.count = chunk.count;
  arrays.resets = numbers.resets;
  arrays.zeroed = report.zeroed;
  arrays.fresh = numbers.step == 1;
  if (state.storage == ParameterStorage::bfloat16_stochastic) {
    const std::int64_t start =
        static_cast<std::int64_t>(chunk.segment - plan.first_segment) * plan.segment_elements();
    const std::int64_t within = (chunk.begin - start) % kBlockElements;
    arrays.random_first = detail::random_key(tables.seed, numbers.step, chunk.tensor, chunk.begin - within) +
                          static_cast<std::uint32_t>(within);
  }
  if (fits_float32(scalars)) {
    const RuleScalars<ScalarOps<float>> s(scalars);
    block.each([&](unsigned thread) {
      thread_update<kRule>(state.storage, address.gradient_dtype, arrays, s, thread);
    });
  } else {
    const RuleScalars<ScalarOps<double>> s(scalars);
    block.each([&](unsigned thread) {
      thread_update<kRule>(state.storage, address.gradient_dtype, arrays, s, thread);
    });
  }
}

}  // namespace gradstab::device
