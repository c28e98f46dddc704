#include "optimizer_settings.hpp"

#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "errors.hpp"
#include "fields.hpp"
#include "settings.hpp"
#include "structs.hpp"

namespace gradstab::c {
namespace {

static_assert(GRADSTAB_MINI_ELEMENT == static_cast<int>(AdamMiniUnit::element) &&
              GRADSTAB_MINI_HEAD == static_cast<int>(AdamMiniUnit::head) &&
              GRADSTAB_MINI_ROW == static_cast<int>(AdamMiniUnit::row) &&
              GRADSTAB_MINI_TENSOR == static_cast<int>(AdamMiniUnit::tensor));
static_assert(GRADSTAB_MASTER_COPY == static_cast<int>(LowPrecision::master_copy) &&
              GRADSTAB_STOCHASTIC_ROUNDING == static_cast<int>(LowPrecision::stochastic_rounding));

// ---- Fields, by the names of the settings ----

}  // namespace
}  // namespace gradstab::c

constexpr auto fields_of(std::type_identity<gradstab_sgd_options>) {
  using S = gradstab_sgd_options;
  using gradstab::c::Field;
  return std::tuple(Field{"lr", &S::lr}, Field{"momentum", &S::momentum}, Field{"dampening", &S::dampening},
                    Field{"weight_decay", &S::weight_decay}, Field{"nesterov", &S::nesterov});
}

constexpr auto fields_of(std::type_identity<gradstab_adam_options>) {
  using S = gradstab_adam_options;
  using gradstab::c::Field;
  return std::tuple(Field{"lr", &S::lr}, Field{"beta1", &S::beta1}, Field{"beta2", &S::beta2},
                    Field{"epsilon", &S::epsilon}, Field{"weight_decay", &S::weight_decay},
                    Field{"decoupled", &S::decoupled}, Field{"amsgrad", &S::amsgrad},
                    Field{"reset_interval", &S::reset_interval}, Field{"compat", &S::compat});
}

constexpr auto fields_of(std::type_identity<gradstab_lion_options>) {
  using S = gradstab_lion_options;
  using gradstab::c::Field;
  return std::tuple(Field{"lr", &S::lr}, Field{"beta1", &S::beta1}, Field{"beta2", &S::beta2},
                    Field{"weight_decay", &S::weight_decay}, Field{"decay_over_lr", &S::decay_over_lr});
}

constexpr auto fields_of(std::type_identity<gradstab_adam_mini_options>) {
  using S = gradstab_adam_mini_options;
  using gradstab::c::Field;
  return std::tuple(Field{"lr", &S::lr}, Field{"beta1", &S::beta1}, Field{"beta2", &S::beta2},
                    Field{"epsilon", &S::epsilon}, Field{"weight_decay", &S::weight_decay},
                    Field{"dim", &S::dim}, Field{"n_heads", &S::n_heads});
}

constexpr auto fields_of(std::type_identity<gradstab_spam_options>) {
  using S = gradstab_spam_options;
  using gradstab::c::Field;
  return std::tuple(Field{"lr", &S::lr}, Field{"beta1", &S::beta1}, Field{"beta2", &S::beta2},
                    Field{"epsilon", &S::epsilon}, Field{"weight_decay", &S::weight_decay},
                    Field{"threshold", &S::threshold}, Field{"reset_interval", &S::reset_interval},
                    Field{"warmup_steps", &S::warmup_steps}, Field{"quiet_steps", &S::quiet_steps});
}

namespace gradstab::c {
namespace {

template <class Struct>
struct Kind;
template <>
struct Kind<gradstab_sgd_options> {
  static constexpr gradstab_optimizer_kind value = GRADSTAB_SGD;
};
template <>
struct Kind<gradstab_adam_options> {
  static constexpr gradstab_optimizer_kind value = GRADSTAB_ADAM;
};
template <>
struct Kind<gradstab_lion_options> {
  static constexpr gradstab_optimizer_kind value = GRADSTAB_LION;
};
template <>
struct Kind<gradstab_adam_mini_options> {
  static constexpr gradstab_optimizer_kind value = GRADSTAB_ADAM_MINI;
};
template <>
struct Kind<gradstab_spam_options> {
  static constexpr gradstab_optimizer_kind value = GRADSTAB_SPAM;
};

/// The defaults, as C has them.
template <class Struct, class Options>
Struct to_struct(const Options& options) {
  Struct result{};
  result.base = {.struct_size = 0, .kind = Kind<Struct>::value, .reserved = 0};
  to_c(options, result);
  return result;
}

/// Fills the caller's struct with a value of this library's size.
template <class Options>
Status fill(Options* options, std::size_t struct_size, const Options& value) {
  if (options == nullptr) return null_argument("options", "a ", StructTraits<Options>::name);
  GRADSTAB_RETURN_IF_ERROR(check_struct_size<Options>(struct_size));
  write_struct(value, struct_size, options);
  return {};
}

// ---- From C ----

/// What a struct holds beyond its settings.
template <class Struct>
Status check_rest(const Struct&) {
  return {};
}
Status check_rest(const gradstab_sgd_options& given) {
  return check_reserved("gradstab_sgd_options", given.reserved);
}
Status check_rest(const gradstab_adam_options& given) {
  return check_reserved("gradstab_adam_options", given.reserved);
}

template <class Options, class Struct>
Result<OptimizerOptions> read_fields(const Struct& given) {
  GRADSTAB_RETURN_IF_ERROR(check_rest(given));
  Options options;
  GRADSTAB_RETURN_IF_ERROR(from_c(given, options));
  return OptimizerOptions(std::move(options));
}

Result<OptimizerOptions> read_options_of(const gradstab_sgd_options& given) {
  return read_fields<SgdOptions>(given);
}
Result<OptimizerOptions> read_options_of(const gradstab_adam_options& given) {
  return read_fields<AdamOptions>(given);
}
Result<OptimizerOptions> read_options_of(const gradstab_lion_options& given) {
  return read_fields<LionOptions>(given);
}
Result<OptimizerOptions> read_options_of(const gradstab_spam_options& given) {
  return read_fields<SpamOptions>(given);
}

Result<AdamMiniOptions::Override> read_override(const gradstab_adam_mini_override& given, std::size_t index) {
  if (given.pattern == nullptr) return invalid("pattern of override ", index, " is NULL, expected a text");
  const std::string where = "override " + std::to_string(index);
  if (given.unit < GRADSTAB_MINI_ELEMENT || given.unit > GRADSTAB_MINI_TENSOR) {
    return invalid("unit of ", where, " must be element (0), head (1), row (2) or tensor (3), got ",
                   given.unit);
  }
  GRADSTAB_RETURN_IF_ERROR(check_reserved(where, given.reserved));
  return AdamMiniOptions::Override{given.pattern, static_cast<AdamMiniUnit>(given.unit)};
}

Result<OptimizerOptions> read_options_of(const gradstab_adam_mini_options& given) {
  if (given.overrides == nullptr && given.override_count > 0)
    return null_argument("overrides", "an array of ", given.override_count);
  AdamMiniOptions options;
  GRADSTAB_RETURN_IF_ERROR(from_c(given, options));
  for (std::size_t i = 0; i < given.override_count; ++i) {
    auto read = read_override(given.overrides[i], i);
    if (!read) return read.status();
    options.overrides.push_back(std::move(*read));
  }
  return OptimizerOptions(std::move(options));
}

/// Options whose kind has been looked at.
template <class Options>
Result<OptimizerOptions> read_of_kind(const Options* options) {
  Options given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(options, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved(StructTraits<Options>::name, given.base.reserved));
  auto result = read_options_of(given);
  if (result) GRADSTAB_RETURN_IF_ERROR(validate(*result));
  return result;
}

/// Options of one kind alone. NULL stands for the defaults.
template <class Options>
Result<OptimizerOptions> read_typed(const Options* options, const Options& defaults) {
  if (options == nullptr) return read_options_of(defaults);
  GRADSTAB_RETURN_IF_ERROR(check_struct_size<Options>(struct_size_of(options)));
  if (options->base.kind != defaults.base.kind) {
    return invalid("kind of ", StructTraits<Options>::name, " is ", options->base.kind, ", expected ",
                   defaults.base.kind, "; was it filled by its init function?");
  }
  return read_of_kind(options);
}

/// Options of any kind. `base` is the beginning of a struct of the kind that it names.
Result<OptimizerOptions> read_any(const gradstab_optimizer_options* base) {
  switch (base->kind) {
    case GRADSTAB_SGD:
      return read_of_kind(reinterpret_cast<const gradstab_sgd_options*>(base));
    case GRADSTAB_ADAM:
      return read_of_kind(reinterpret_cast<const gradstab_adam_options*>(base));
    case GRADSTAB_LION:
      return read_of_kind(reinterpret_cast<const gradstab_lion_options*>(base));
    case GRADSTAB_ADAM_MINI:
      return read_of_kind(reinterpret_cast<const gradstab_adam_mini_options*>(base));
    case GRADSTAB_SPAM:
      return read_of_kind(reinterpret_cast<const gradstab_spam_options*>(base));
    default:
      return invalid(
          "options have unknown kind ", base->kind,
          "; known are sgd (1), adam (2), lion (3), adam_mini (4) and spam (5); were they filled by "
          "their init function?");
  }
}

Result<OptimizerGroup> read_group(const gradstab_optimizer_group& given, std::size_t index) {
  const std::string where = "group " + std::to_string(index);
  if (given.options == nullptr) return null_argument("options of " + where, "those of an optimizer");
  if (given.parameters == nullptr && given.parameter_count > 0)
    return null_argument("parameters of " + where, "an array of ", given.parameter_count);
  auto options = read_any(given.options);
  if (!options) return error(options.status().code(), where, ": ", options.status().message());
  return OptimizerGroup{std::move(*options), {given.parameters, given.parameters + given.parameter_count}};
}

}  // namespace

Result<OptimizerOptions> read_sgd(const gradstab_sgd_options* options) {
  return read_typed(options, to_struct<gradstab_sgd_options>(SgdOptions{}));
}
Result<OptimizerOptions> read_adam(const gradstab_adam_options* options) {
  return read_typed(options, to_struct<gradstab_adam_options>(AdamOptions{}));
}
Result<OptimizerOptions> read_lion(const gradstab_lion_options* options) {
  return read_typed(options, to_struct<gradstab_lion_options>(LionOptions{}));
}
Result<OptimizerOptions> read_adam_mini(const gradstab_adam_mini_options* options) {
  return read_typed(options, to_struct<gradstab_adam_mini_options>(AdamMiniOptions{}));
}
Result<OptimizerOptions> read_spam(const gradstab_spam_options* options) {
  return read_typed(options, to_struct<gradstab_spam_options>(SpamOptions{}));
}

Result<std::vector<OptimizerGroup>> read_groups(const gradstab_optimizer_group* groups, std::size_t count) {
  if (groups == nullptr && count > 0) return null_argument("groups", "an array of ", count);
  std::vector<OptimizerGroup> list;
  for (std::size_t g = 0; g < count; ++g) {
    auto group = read_group(groups[g], g);
    if (!group) return group.status();
    list.push_back(std::move(*group));
  }
  return list;
}

Result<OptimizerRunOptions> read_optimizer_run_options(const gradstab_optimizer_run_options* options) {
  if (options == nullptr) return OptimizerRunOptions{};
  gradstab_optimizer_run_options given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(options, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved("gradstab_optimizer_run_options", given.reserved));
  if (given.low_precision < GRADSTAB_MASTER_COPY || given.low_precision > GRADSTAB_STOCHASTIC_ROUNDING) {
    return invalid("low_precision must be master copy (0) or stochastic rounding (1), got ",
                   given.low_precision);
  }
  auto run = read_run_options(given.run);
  if (!run) return run.status();
  return OptimizerRunOptions{.run = std::move(*run),
                             .low_precision = static_cast<LowPrecision>(given.low_precision),
                             .seed = given.seed};
}

}  // namespace gradstab::c

using namespace gradstab;

gradstab_status gradstab_sgd_options_init(gradstab_sgd_options* options, size_t struct_size) {
  return c::run(
      [&] { return c::fill(options, struct_size, c::to_struct<gradstab_sgd_options>(SgdOptions{})); });
}

gradstab_status gradstab_adam_options_init(gradstab_adam_options* options, size_t struct_size,
                                           gradstab_adam_preset preset) {
  return c::run([&]() -> Status {
    if (preset != GRADSTAB_PRESET_ADAM && preset != GRADSTAB_PRESET_ADAMW)
      return c::invalid("preset must be adam (0) or adamw (1), got ", preset);
    const auto defaults = preset == GRADSTAB_PRESET_ADAM ? AdamOptions{} : AdamOptions::adamw();
    return c::fill(options, struct_size, c::to_struct<gradstab_adam_options>(defaults));
  });
}

gradstab_status gradstab_lion_options_init(gradstab_lion_options* options, size_t struct_size) {
  return c::run(
      [&] { return c::fill(options, struct_size, c::to_struct<gradstab_lion_options>(LionOptions{})); });
}

gradstab_status gradstab_adam_mini_options_init(gradstab_adam_mini_options* options, size_t struct_size) {
  return c::run([&] {
    return c::fill(options, struct_size, c::to_struct<gradstab_adam_mini_options>(AdamMiniOptions{}));
  });
}

gradstab_status gradstab_spam_options_init(gradstab_spam_options* options, size_t struct_size) {
  return c::run(
      [&] { return c::fill(options, struct_size, c::to_struct<gradstab_spam_options>(SpamOptions{})); });
}

gradstab_status gradstab_optimizer_group_count(const gradstab_optimizer* optimizer, size_t* count) {
  return c::run_on(optimizer, [&]() -> Status {
    if (count == nullptr) return c::null_argument("count", "a size_t");
    *count = optimizer->object.group_count();
    return {};
  });
}

gradstab_status gradstab_optimizer_lr(const gradstab_optimizer* optimizer, size_t group, double* lr) {
  return c::run_on(optimizer, [&]() -> Status {
    if (lr == nullptr) return c::null_argument("lr", "a double");
    const auto options = optimizer->object.options(group);
    if (!options) return options.status();
    *lr = std::visit([](const auto& typed) { return typed.lr; }, *options);
    return {};
  });
}

gradstab_status gradstab_optimizer_set_lr(gradstab_optimizer* optimizer, double lr) {
  return c::run_on(optimizer, [&] { return optimizer->object.set_lr(lr); });
}

gradstab_status gradstab_optimizer_set_group_lr(gradstab_optimizer* optimizer, size_t group, double lr) {
  return c::run_on(optimizer, [&] { return optimizer->object.set_lr(group, lr); });
}

gradstab_status gradstab_optimizer_set_options(gradstab_optimizer* optimizer, size_t group,
                                               const gradstab_optimizer_options* options) {
  return c::run_on(optimizer, [&]() -> Status {
    if (options == nullptr) return c::null_argument("options", "those of an optimizer");
    auto read = c::read_any(options);
    if (!read) return read.status();
    return optimizer->object.set_options(group, std::move(*read));
  });
}
