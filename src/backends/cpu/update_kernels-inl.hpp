// The optimizer updates, for one instruction set. Part of kernels-inl.hpp, under its rules.
//
// Arithmetic is float32 with one rounding per operation: no fused multiply-add, so that every instruction set
// gives the same bits. What bounds these loops is memory; a division and a root per eight elements are
// hidden.
#pragma once

#include "backends/cpu/element_formats-inl.hpp"
#include "backends/cpu/kernels.hpp"
#include "backends/reference/reference_update.hpp"
#include "core/optimizer/update_rules-inl.hpp"

namespace gradstab {
namespace {

struct VectorOps {
  using V = F32;
  static GRADSTAB_INLINE V set(double value) { return hn::Set(kF32, static_cast<float>(value)); }
  static GRADSTAB_INLINE V add(V a, V b) { return hn::Add(a, b); }
  static GRADSTAB_INLINE V sub(V a, V b) { return hn::Sub(a, b); }
  static GRADSTAB_INLINE V mul(V a, V b) { return hn::Mul(a, b); }
  static GRADSTAB_INLINE V div(V a, V b) { return hn::Div(a, b); }
  static GRADSTAB_INLINE V sqrt(V a) { return hn::Sqrt(a); }
  static GRADSTAB_INLINE V max(V a, V b) { return hn::IfThenElse(hn::Gt(a, b), a, b); }
  static GRADSTAB_INLINE V sign(V a) {
    const V one = hn::CopySign(hn::Set(kF32, 1.0f), a);
    const auto is_one = hn::Or(hn::Gt(a, hn::Zero(kF32)), hn::Lt(a, hn::Zero(kF32)));
    return hn::IfThenElseZero(is_one, one);
  }
  static GRADSTAB_INLINE V select_greater(V a, V b, V yes, V no) {
    return hn::IfThenElse(hn::Gt(a, b), yes, no);
  }
};

struct VectorIntOps {
  static GRADSTAB_INLINE U32 mul(U32 x, std::uint32_t constant) {
    return hn::Mul(x, hn::Set(kU32, constant));
  }
  template <int kShift>
  static GRADSTAB_INLINE U32 xor_shift(U32 x) {
    return hn::Xor(x, hn::ShiftRight<kShift>(x));
  }
};

constexpr hn::Rebind<std::uint16_t, decltype(kF32)>
    kLowU16;  // as many 16-bit elements as a vector holds floats

/// bfloat16 in the order of memory (Brain's own loads take even and odd elements apart).
GRADSTAB_INLINE inline F32 load_bfloat16(const std::uint16_t* p) {
  return hn::BitCast(kF32, hn::ShiftLeft<16>(hn::PromoteTo(kU32, hn::LoadU(kLowU16, p))));
}

/// Stores the upper halves.
GRADSTAB_INLINE inline void store_upper_halves(std::uint16_t* p, U32 bits) {
  hn::StoreU(hn::TruncateTo(kLowU16, hn::ShiftRight<16>(bits)), kLowU16, p);
}

/// To nearest, ties to even; NaN stays NaN, as to_bfloat16 makes it.
GRADSTAB_INLINE inline void store_bfloat16(std::uint16_t* p, F32 value) {
  const U32 bits = hn::BitCast(kU32, value);
  const U32 odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(kU32, 1));
  const U32 rounded = hn::Add(bits, hn::Add(odd, hn::Set(kU32, 0x7FFFu)));
  const U32 sign = hn::And(bits, hn::Set(kU32, 0x80000000u));
  const U32 nan = hn::Or(sign, hn::Set(kU32, 0x7FC00000u));
  store_upper_halves(p, hn::IfThenElse(hn::RebindMask(kU32, hn::Eq(value, value)), rounded, nan));
}

// Gradients by their dtype: a load of as many elements as a vector holds floats.

template <DType kDType>
struct Gradient;

template <>
struct Gradient<DType::float32> {
  using Element = float;
  static GRADSTAB_INLINE F32 load(const float* p) { return hn::LoadU(kF32, p); }
};

template <>
struct Gradient<DType::bfloat16> {
  using Element = std::uint16_t;
  static GRADSTAB_INLINE F32 load(const std::uint16_t* p) { return load_bfloat16(p); }
};

template <>
struct Gradient<DType::float16> {
  using Element = std::uint16_t;
  static GRADSTAB_INLINE F32 load(const std::uint16_t* p) {
#if GRADSTAB_NATIVE_FLOAT16
    return hn::PromoteTo(kF32, hn::BitCast(Half::kF16, hn::LoadU(kLowU16, p)));
#else
    return Half::decode(hn::PromoteTo(kU32, hn::LoadU(kLowU16, p)));
#endif
  }
};

// Parameters by their storage: what is read, and what is written.

template <ParameterStorage kStorage>
struct Parameter;

template <>
struct Parameter<ParameterStorage::float32> {
  using Element = float;
  static constexpr bool kMaster = false;
  static GRADSTAB_INLINE F32 load(const float* p, const float*) { return hn::LoadU(kF32, p); }
  static GRADSTAB_INLINE void store(float* p, float*, F32 value, std::uint32_t) {
    hn::StoreU(value, kF32, p);
  }
};

template <>
struct Parameter<ParameterStorage::bfloat16_master> {
  using Element = std::uint16_t;
  static constexpr bool kMaster = true;
  static GRADSTAB_INLINE F32 load(const std::uint16_t*, const float* master) {
    return hn::LoadU(kF32, master);
  }
  static GRADSTAB_INLINE void store(std::uint16_t* p, float* master, F32 value, std::uint32_t) {
    hn::StoreU(value, kF32, master);
    store_bfloat16(p, value);
  }
};

template <>
struct Parameter<ParameterStorage::bfloat16_stochastic> {
  using Element = std::uint16_t;
  static constexpr bool kMaster = false;
  static GRADSTAB_INLINE F32 load(const std::uint16_t* p, const float*) { return load_bfloat16(p); }
  /// `first` is the block's key plus the index of the first element.
  static GRADSTAB_INLINE void store(std::uint16_t* p, float*, F32 value, std::uint32_t first) {
    const U32 random = hn::And(mixed_bits<VectorIntOps>(hn::Iota(kU32, first)), hn::Set(kU32, 0xFFFFu));
    const U32 bits = hn::BitCast(kU32, value);
    const U32 nan = hn::Or(hn::And(bits, hn::Set(kU32, 0x80000000u)), hn::Set(kU32, 0x7FC00000u));
    store_upper_halves(
        p, hn::IfThenElse(hn::RebindMask(kU32, hn::Eq(value, value)), hn::Add(bits, random), nan));
  }
};

template <UpdateRule kRule, ParameterStorage kStorage, DType kDType>
void update(const UpdateBlock& block, const UpdateScalars& scalars) noexcept {
  using Stored = Parameter<kStorage>;
  using Loaded = Gradient<kDType>;
  using P = typename Stored::Element;
  using G = typename Loaded::Element;
  constexpr std::size_t kLanes = hn::MaxLanes(kF32);
  constexpr std::size_t kStates = kStateCount<kRule>;
  const RuleScalars<VectorOps> s(scalars);
  const auto step = [&](P* p, float* master, const G* g, float* const* states,
                        std::size_t index) GRADSTAB_INLINE {
    F32 values[kStates + 1];
    for (std::size_t k = 0; k < kStates; ++k) values[k] = hn::LoadU(kF32, states[k]);
    const F32 updated =
        Rule<kRule>::template update<VectorOps>(s, Stored::load(p, master), Loaded::load(g), values);
    Stored::store(p, master, updated, block.random_key + static_cast<std::uint32_t>(index));
    for (std::size_t k = 0; k < kStates; ++k) hn::StoreU(values[k], kF32, states[k]);
  };
  P* const parameter = static_cast<P*>(block.parameter);
  const G* const gradient = static_cast<const G*>(block.gradient);
  float* states[kStates + 1];
  for (std::size_t k = 0; k < kStates; ++k) states[k] = static_cast<float*>(block.states[k]);
  std::size_t i = 0;
  for (; i + kLanes <= block.count; i += kLanes) {
    float* at[kStates + 1];
    for (std::size_t k = 0; k < kStates; ++k) at[k] = states[k] + i;
    step(parameter + i, Stored::kMaster ? block.master + i : nullptr, gradient + i, at, i);
  }
  if (i == block.count) return;
  // The last, partial vector goes through copies padded with zeros.
  const std::size_t rest = block.count - i;
  HWY_ALIGN P last_parameter[kLanes] = {};
  HWY_ALIGN float last_master[kLanes] = {};
  HWY_ALIGN G last_gradient[kLanes] = {};
  HWY_ALIGN float last_states[kStates + 1][kLanes] = {};
  float* at[kStates + 1];
  __builtin_memcpy(last_parameter, parameter + i, rest * sizeof(P));
  __builtin_memcpy(last_gradient, gradient + i, rest * sizeof(G));
  if constexpr (Stored::kMaster) __builtin_memcpy(last_master, block.master + i, rest * sizeof(float));
  for (std::size_t k = 0; k < kStates; ++k) {
    __builtin_memcpy(last_states[k], states[k] + i, rest * sizeof(float));
    at[k] = last_states[k];
  }
  step(last_parameter, last_master, last_gradient, at, i);
  __builtin_memcpy(parameter + i, last_parameter, rest * sizeof(P));
  if constexpr (Stored::kMaster) __builtin_memcpy(block.master + i, last_master, rest * sizeof(float));
  for (std::size_t k = 0; k < kStates; ++k)
    __builtin_memcpy(states[k] + i, last_states[k], rest * sizeof(float));
}

/// What kUpdatedBy says.
template <UpdateRule kRule, ParameterStorage kStorage, DType kDType>
constexpr UpdateKernel update_kernel() {
  constexpr UpdateBy kBy = kUpdatedBy[static_cast<std::size_t>(kStorage)][static_cast<std::size_t>(kDType)];
  static_assert(kBy != UpdateBy::unstated, "a new dtype is stated in every row of kUpdatedBy");
  if constexpr (kBy == UpdateBy::vectors) return update<kRule, kStorage, kDType>;
  return reference_update;
}

template <UpdateRule kRule, ParameterStorage kStorage>
constexpr void add_updates_of_storage(UpdateKernel (&of_dtype)[kDTypeCount]) {
  of_dtype[static_cast<std::size_t>(DType::float32)] = update_kernel<kRule, kStorage, DType::float32>();
  of_dtype[static_cast<std::size_t>(DType::float64)] = update_kernel<kRule, kStorage, DType::float64>();
  of_dtype[static_cast<std::size_t>(DType::float16)] = update_kernel<kRule, kStorage, DType::float16>();
  of_dtype[static_cast<std::size_t>(DType::bfloat16)] = update_kernel<kRule, kStorage, DType::bfloat16>();
}

template <UpdateRule kRule>
constexpr void add_updates_of_rule(UpdateKernel (&of_storage)[kParameterStorageCount][kDTypeCount]) {
#define GRADSTAB_ADD(name, ...)                          \
  add_updates_of_storage<kRule, ParameterStorage::name>( \
      of_storage[static_cast<std::size_t>(ParameterStorage::name)]);
  GRADSTAB_PARAMETER_STORAGES(GRADSTAB_ADD)
#undef GRADSTAB_ADD
}

constexpr void add_updates(CpuKernels& kernels) {
#define GRADSTAB_ADD(name, ...) \
  add_updates_of_rule<UpdateRule::name>(kernels.update[static_cast<std::size_t>(UpdateRule::name)]);
  GRADSTAB_UPDATE_RULES(GRADSTAB_ADD)
#undef GRADSTAB_ADD
}

}  // namespace
}  // namespace gradstab
