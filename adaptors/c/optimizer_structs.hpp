// The optimizers of the C interface: the one list of them, and the settings that their structs hold.
#pragma once

#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <variant>

#include "fields.hpp"
#include "gradstab/optimizer.h"
#include "gradstab/optimizer.hpp"
#include "structs.hpp"

/// Every optimizer: the word in its C names, its kind, its C++ options, and the size of its struct when it
/// first was published. Functions, their reading and what messages say of kinds are made from this list. The
/// init function of one WITH_PRESETS is written by hand.
#define GRADSTAB_C_OPTIMIZERS(OPTIMIZER, WITH_PRESETS)                                            \
  OPTIMIZER(sgd, GRADSTAB_SGD, SgdOptions, sizeof(gradstab_sgd_options))                          \
  WITH_PRESETS(adam, GRADSTAB_ADAM, AdamOptions, offsetof(gradstab_adam_options, reset_interval)) \
  OPTIMIZER(lion, GRADSTAB_LION, LionOptions, sizeof(gradstab_lion_options))                      \
  OPTIMIZER(adam_mini, GRADSTAB_ADAM_MINI, AdamMiniOptions, sizeof(gradstab_adam_mini_options))   \
  OPTIMIZER(spam, GRADSTAB_SPAM, SpamOptions, sizeof(gradstab_spam_options))

constexpr auto fields_of(std::type_identity<gradstab_sgd_options>) {
  using S = gradstab_sgd_options;
  return std::tuple(GRADSTAB_FIELD(lr), GRADSTAB_FIELD(momentum), GRADSTAB_FIELD(dampening),
                    GRADSTAB_FIELD(weight_decay), GRADSTAB_FIELD(nesterov));
}

constexpr auto fields_of(std::type_identity<gradstab_adam_options>) {
  using S = gradstab_adam_options;
  return std::tuple(GRADSTAB_FIELD(lr), GRADSTAB_FIELD(beta1), GRADSTAB_FIELD(beta2), GRADSTAB_FIELD(epsilon),
                    GRADSTAB_FIELD(weight_decay), GRADSTAB_FIELD(decoupled), GRADSTAB_FIELD(amsgrad),
                    GRADSTAB_FIELD(reset_interval), GRADSTAB_FIELD(compat));
}

constexpr auto fields_of(std::type_identity<gradstab_lion_options>) {
  using S = gradstab_lion_options;
  return std::tuple(GRADSTAB_FIELD(lr), GRADSTAB_FIELD(beta1), GRADSTAB_FIELD(beta2),
                    GRADSTAB_FIELD(weight_decay), GRADSTAB_FIELD(decay_over_lr));
}

constexpr auto fields_of(std::type_identity<gradstab_adam_mini_options>) {
  using S = gradstab_adam_mini_options;
  return std::tuple(GRADSTAB_FIELD(lr), GRADSTAB_FIELD(beta1), GRADSTAB_FIELD(beta2), GRADSTAB_FIELD(epsilon),
                    GRADSTAB_FIELD(weight_decay), GRADSTAB_FIELD(dim), GRADSTAB_FIELD(n_heads));
}

constexpr auto fields_of(std::type_identity<gradstab_spam_options>) {
  using S = gradstab_spam_options;
  return std::tuple(GRADSTAB_FIELD(lr), GRADSTAB_FIELD(beta1), GRADSTAB_FIELD(beta2), GRADSTAB_FIELD(epsilon),
                    GRADSTAB_FIELD(weight_decay), GRADSTAB_FIELD(threshold), GRADSTAB_FIELD(reset_interval),
                    GRADSTAB_FIELD(warmup_steps), GRADSTAB_FIELD(quiet_steps));
}

namespace gradstab::c {

/// What the list says of a struct.
template <class Struct>
struct OptimizerTraits;
/// The struct of these C++ options.
template <class Options>
struct StructOf;

#define GRADSTAB_C_TRAITS(word, its_kind, options, published_size)         \
  template <>                                                              \
  struct StructTraits<gradstab_##word##_options> {                         \
    static constexpr std::string_view name = "gradstab_" #word "_options"; \
    static constexpr std::size_t first_size = published_size;              \
  };                                                                       \
  template <>                                                              \
  struct OptimizerTraits<gradstab_##word##_options> {                      \
    using Options = options;                                               \
    static constexpr gradstab_optimizer_kind kind = its_kind;              \
  };                                                                       \
  template <>                                                              \
  struct StructOf<options> {                                               \
    using Type = gradstab_##word##_options;                                \
  };
GRADSTAB_C_OPTIMIZERS(GRADSTAB_C_TRAITS, GRADSTAB_C_TRAITS)
#undef GRADSTAB_C_TRAITS

template <class List>
struct AnyStructOf;
template <class... Options>
struct AnyStructOf<std::variant<Options...>> {
  using Type = std::variant<typename StructOf<Options>::Type...>;
};
/// The struct of any optimizer. One that the list above leaves out does not compile.
using AnyOptimizerStruct = AnyStructOf<OptimizerOptions>::Type;

/// C++ options as C has them, but for lists.
template <class Options>
typename StructOf<Options>::Type to_struct(const Options& options) {
  typename StructOf<Options>::Type result{};
  result.base.kind = OptimizerTraits<typename StructOf<Options>::Type>::kind;
  fill_struct(options, result);
  return result;
}

}  // namespace gradstab::c
