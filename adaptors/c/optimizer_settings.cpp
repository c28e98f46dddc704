#include "optimizer_settings.hpp"

#include <string>
#include <utility>

#include "errors.hpp"
#include "optimizer_structs.hpp"
#include "settings.hpp"

namespace gradstab::c {
namespace {

static_assert(GRADSTAB_MINI_ELEMENT == static_cast<int>(AdamMiniUnit::element) &&
              GRADSTAB_MINI_HEAD == static_cast<int>(AdamMiniUnit::head) &&
              GRADSTAB_MINI_ROW == static_cast<int>(AdamMiniUnit::row) &&
              GRADSTAB_MINI_TENSOR == static_cast<int>(AdamMiniUnit::tensor));
static_assert(GRADSTAB_MASTER_COPY == static_cast<int>(LowPrecision::master_copy) &&
              GRADSTAB_STOCHASTIC_ROUNDING == static_cast<int>(LowPrecision::stochastic_rounding));

/// Fills the caller's struct with a value of this library's size.
template <class Options>
Status fill(Options* options, std::size_t struct_size, const Options& value) {
  if (options == nullptr) return null_argument("options", "a ", StructTraits<Options>::name);
  GRADSTAB_RETURN_IF_ERROR(check_struct_size<Options>(struct_size));
  write_struct(value, struct_size, options);
  return {};
}

// ---- From C ----

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

/// What a struct holds beyond numbers.
template <class Struct, class Options>
Status read_lists(const Struct&, Options&) {
  static_assert(!has_lists<Options>(), "lists need a read_lists of their own");
  return {};
}
Status read_lists(const gradstab_adam_mini_options& given, AdamMiniOptions& options) {
  if (given.overrides == nullptr && given.override_count > 0)
    return null_argument("overrides", "an array of ", given.override_count);
  for (std::size_t i = 0; i < given.override_count; ++i) {
    auto read = read_override(given.overrides[i], i);
    if (!read) return read.status();
    options.overrides.push_back(std::move(*read));
  }
  return {};
}

template <class Struct>
Result<OptimizerOptions> read_fields(const Struct& given) {
  if constexpr (requires { given.reserved; })
    GRADSTAB_RETURN_IF_ERROR(check_reserved(StructTraits<Struct>::name, given.reserved));
  typename OptimizerTraits<Struct>::Options options;
  GRADSTAB_RETURN_IF_ERROR(from_c(given, options));
  GRADSTAB_RETURN_IF_ERROR(read_lists(given, options));
  return OptimizerOptions(std::move(options));
}

/// Options whose kind has been looked at.
template <class Struct>
Result<OptimizerOptions> read_of_kind(const Struct* options) {
  Struct given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(options, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved(StructTraits<Struct>::name, given.base.reserved));
  auto result = read_fields(given);
  if (result) GRADSTAB_RETURN_IF_ERROR(validate(*result));
  return result;
}

/// Options of one kind alone. NULL stands for the defaults.
template <class Struct>
Result<OptimizerOptions> read_typed(const Struct* options) {
  using Traits = OptimizerTraits<Struct>;
  if (options == nullptr) return OptimizerOptions(typename Traits::Options{});
  GRADSTAB_RETURN_IF_ERROR(check_struct_size<Struct>(struct_size_of(options)));
  if (options->base.kind != Traits::kind) {
    return invalid("kind of ", StructTraits<Struct>::name, " is ", options->base.kind, ", expected ",
                   Traits::kind, "; was it filled by its init function?");
  }
  return read_of_kind(options);
}

/// "sgd (1), adam (2) and lion (3)"
std::string known_kinds() {
  std::vector<std::string> known;
#define GRADSTAB_KNOWN(word, kind, ...) known.push_back(#word " (" + std::to_string(kind) + ")");
  GRADSTAB_C_OPTIMIZERS(GRADSTAB_KNOWN, GRADSTAB_KNOWN)
#undef GRADSTAB_KNOWN
  std::string text = known.front();
  for (std::size_t i = 1; i < known.size(); ++i) text += (i + 1 < known.size() ? ", " : " and ") + known[i];
  return text;
}

/// Options of any kind. `base` is the beginning of a struct of the kind that it names.
Result<OptimizerOptions> read_any(const gradstab_optimizer_options* base) {
  switch (base->kind) {
#define GRADSTAB_CASE(word, kind, ...) \
  case kind:                           \
    return read_of_kind(reinterpret_cast<const gradstab_##word##_options*>(base));
    GRADSTAB_C_OPTIMIZERS(GRADSTAB_CASE, GRADSTAB_CASE)
#undef GRADSTAB_CASE
    default:
      return invalid("options have unknown kind ", base->kind, "; known are ", known_kinds(),
                     "; were they filled by their init function?");
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

#define GRADSTAB_READ(word, ...)                                                      \
  Result<OptimizerOptions> read_optimizer(const gradstab_##word##_options* options) { \
    return read_typed(options);                                                       \
  }
GRADSTAB_C_OPTIMIZERS(GRADSTAB_READ, GRADSTAB_READ)
#undef GRADSTAB_READ

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

#define GRADSTAB_INIT(word, kind, options_type, ...)                                                       \
  gradstab_status gradstab_##word##_options_init(gradstab_##word##_options* options, size_t struct_size) { \
    return c::run([&] { return c::fill(options, struct_size, c::to_struct(options_type{})); });            \
  }
#define GRADSTAB_BY_HAND(...)
GRADSTAB_C_OPTIMIZERS(GRADSTAB_INIT, GRADSTAB_BY_HAND)
#undef GRADSTAB_INIT
#undef GRADSTAB_BY_HAND

gradstab_status gradstab_adam_options_init(gradstab_adam_options* options, size_t struct_size,
                                           gradstab_adam_preset preset) {
  return c::run([&]() -> Status {
    if (preset != GRADSTAB_PRESET_ADAM && preset != GRADSTAB_PRESET_ADAMW)
      return c::invalid("preset must be adam (0) or adamw (1), got ", preset);
    const auto defaults = preset == GRADSTAB_PRESET_ADAM ? AdamOptions{} : AdamOptions::adamw();
    return c::fill(options, struct_size, c::to_struct(defaults));
  });
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
