#include "backends/reference/reference_update.hpp"

#include <bit>
#include <cmath>

#include "core/base/floating_point.hpp"
#include "core/optimizer/scalar_arithmetic.hpp"
#include "core/optimizer/update_rules-inl.hpp"

namespace gradstab {
namespace {

using DoubleOps = ScalarOps<double>;

double gradient_at(const UpdateBlock& block, std::size_t i) noexcept {
  switch (block.gradient_dtype) {
    case DType::float32:
      return static_cast<const float*>(block.gradient)[i];
    case DType::float64:
      return static_cast<const double*>(block.gradient)[i];
    case DType::float16:
      return to_float(static_cast<const Float16*>(block.gradient)[i]);
    case DType::bfloat16:
      return to_float(static_cast<const BFloat16*>(block.gradient)[i]);
  }
  __builtin_trap();  // no dtype at all
}

/// Adds 16 random bits below the ones that bfloat16 keeps, and cuts: the chance to be rounded up is the
/// fraction of the way to the next number.
BFloat16 rounded_at_random(float value, std::uint32_t key, std::size_t index) noexcept {
  if (detail::is_nan(value)) return to_bfloat16(value);
  const std::uint32_t random = mixed_bits<ScalarIntOps>(key + static_cast<std::uint32_t>(index)) & 0xFFFFu;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return {static_cast<std::uint16_t>((bits + random) >> 16)};
}

double load_parameter(const UpdateBlock& block, std::size_t i) noexcept {
  switch (block.storage) {
    case ParameterStorage::float32:
      return static_cast<const float*>(block.parameter)[i];
    case ParameterStorage::float64:
      return static_cast<const double*>(block.parameter)[i];
    case ParameterStorage::bfloat16_master:
      return block.master[i];
    case ParameterStorage::bfloat16_stochastic:
      return to_float(static_cast<const BFloat16*>(block.parameter)[i]);
  }
  __builtin_trap();  // no storage at all
}

void store_parameter(const UpdateBlock& block, std::size_t i, double value) noexcept {
  switch (block.storage) {
    case ParameterStorage::float32:
      static_cast<float*>(block.parameter)[i] = static_cast<float>(value);
      return;
    case ParameterStorage::float64:
      static_cast<double*>(block.parameter)[i] = value;
      return;
    case ParameterStorage::bfloat16_master:
      block.master[i] = static_cast<float>(value);
      static_cast<BFloat16*>(block.parameter)[i] = to_bfloat16(block.master[i]);
      return;
    case ParameterStorage::bfloat16_stochastic:
      static_cast<BFloat16*>(block.parameter)[i] =
          rounded_at_random(static_cast<float>(value), block.random_key, i);
      return;
  }
}

template <UpdateRule kRule, class State>
void update(const UpdateBlock& block, const UpdateScalars& scalars) noexcept {
  constexpr std::size_t kStates = kStateCount<kRule>;
  const RuleScalars<DoubleOps> s(scalars);
  for (std::size_t i = 0; i < block.count; ++i) {
    double states[kMaxStates] = {};
    for (std::size_t k = 0; k < kStates; ++k) states[k] = static_cast<const State*>(block.states[k])[i];
    const double updated =
        Rule<kRule>::template update<DoubleOps>(s, load_parameter(block, i), gradient_at(block, i), states);
    store_parameter(block, i, updated);
    for (std::size_t k = 0; k < kStates; ++k)
      static_cast<State*>(block.states[k])[i] = static_cast<State>(states[k]);
  }
}

}  // namespace

void reference_update(const UpdateBlock& block, const UpdateScalars& scalars) noexcept {
  visit_rule(block.rule, [&]<UpdateRule kRule>(RuleTag<kRule>) {
    block.storage == ParameterStorage::float64 ? update<kRule, double>(block, scalars)
                                               : update<kRule, float>(block, scalars);
  });
}

}  // namespace gradstab
