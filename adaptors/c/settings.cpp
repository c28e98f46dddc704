#include "settings.hpp"

#include <tuple>
#include <type_traits>
#include <utility>

#include "errors.hpp"
#include "executor.hpp"
#include "fields.hpp"
#include "gradstab/bounds.hpp"
#include "structs.hpp"

constexpr auto fields_of(std::type_identity<gradstab_stabilizer_options>) {
  using S = gradstab_stabilizer_options;
  return std::tuple(GRADSTAB_FIELD(gamma1), GRADSTAB_FIELD(gamma2), GRADSTAB_FIELD(epsilon),
                    GRADSTAB_FIELD(spike_ratio), GRADSTAB_FIELD(robust_kappa),
                    GRADSTAB_FIELD(bias_correction));
}

namespace gradstab::c {
namespace {

Result<UnitGroup> read_group(const gradstab_unit_group& given, std::size_t index) {
  if (given.name == nullptr) return invalid("name of group ", index, " is NULL, expected a text");
  UnitGroup group{given.name, {}};
  if (given.patterns == nullptr && given.pattern_count > 0) {
    return invalid("patterns of group '", group.name, "' is NULL, expected an array of ",
                   given.pattern_count);
  }
  for (std::size_t i = 0; i < given.pattern_count; ++i) {
    if (given.patterns[i] == nullptr)
      return invalid("pattern ", i, " of group '", group.name, "' is NULL, expected a text");
    group.patterns.emplace_back(given.patterns[i]);
  }
  return group;
}

Result<StabilizerOptions> preset_options(gradstab_preset preset) {
  switch (preset) {
    case GRADSTAB_PRESET_DEFAULT:
      return StabilizerOptions{};
    case GRADSTAB_PRESET_PAPER:
      return StabilizerOptions::paper();
    case GRADSTAB_PRESET_RELEASED:
      return StabilizerOptions::released();
    case GRADSTAB_PRESET_ROBUST:
      return StabilizerOptions::robust();
    default:
      return invalid("preset must be default (0), paper (1), released (2) or robust (3), got ", preset);
  }
}

}  // namespace

Status check_reserved(std::string_view where, std::int64_t value) {
  if (value == 0) return {};
  return invalid(where, ".reserved must be 0, got ", value, "; was the struct set to 0 first?");
}

Result<bool> read_flag(std::string_view name, std::int32_t value) {
  if (value == 0 || value == 1) return value == 1;
  return invalid(name, " must be 0 or 1, got ", value);
}

Result<StabilizerOptions> read_options(const gradstab_stabilizer_options* options) {
  if (options == nullptr) return StabilizerOptions{};
  gradstab_stabilizer_options given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(options, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved("gradstab_stabilizer_options", given.reserved));
  StabilizerOptions result;
  GRADSTAB_RETURN_IF_ERROR(from_c(given, result));
  GRADSTAB_RETURN_IF_ERROR(result.validate());
  return result;
}

Result<Units> read_units(const gradstab_units* units) {
  if (units == nullptr) return Units{};
  gradstab_units given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(units, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved("gradstab_units", given.reserved));
  if (given.granularity < GRADSTAB_PER_TENSOR || given.granularity > GRADSTAB_WHOLE_MODEL) {
    return invalid("granularity must be per tensor (0), row (1), group (2) or whole model (3), got ",
                   given.granularity);
  }
  if (given.groups == nullptr && given.group_count > 0)
    return null_argument("groups", "an array of ", given.group_count);
  Units result;
  result.granularity = static_cast<Granularity>(given.granularity);
  for (std::size_t g = 0; g < given.group_count; ++g) {
    auto group = read_group(given.groups[g], g);
    if (!group) return group.status();
    result.groups.push_back(std::move(*group));
  }
  GRADSTAB_RETURN_IF_ERROR(result.validate());
  return result;
}

Result<RunOptions> read_run_options(const gradstab_run_options* options) {
  if (options == nullptr) return RunOptions{};
  gradstab_run_options given;
  GRADSTAB_RETURN_IF_ERROR(read_struct(options, given));
  GRADSTAB_RETURN_IF_ERROR(check_reserved("gradstab_run_options", given.reserved));
  if (given.nonfinite < GRADSTAB_SKIP_TENSOR || given.nonfinite > GRADSTAB_PASS_THROUGH) {
    return invalid("nonfinite must be skip tensor (0), skip step (1), raise (2) or pass through (3), got ",
                   given.nonfinite);
  }
  RunOptions result;
  result.nonfinite = static_cast<NonFinitePolicy>(given.nonfinite);
  if (given.backend != nullptr) result.backend = given.backend;
  auto executor = make_executor(given);
  if (!executor) return executor.status();
  result.executor = std::move(*executor);
  return result;
}

}  // namespace gradstab::c

using namespace gradstab;

gradstab_status gradstab_stabilizer_options_init(gradstab_stabilizer_options* options, size_t struct_size,
                                                 gradstab_preset preset) {
  return c::run([&]() -> Status {
    if (options == nullptr) return c::null_argument("options", "a gradstab_stabilizer_options");
    GRADSTAB_RETURN_IF_ERROR(c::check_struct_size<gradstab_stabilizer_options>(struct_size));
    const auto chosen = c::preset_options(preset);
    if (!chosen) return chosen.status();
    gradstab_stabilizer_options value{};
    c::fill_struct(*chosen, value);
    c::write_struct(value, struct_size, options);
    return {};
  });
}

gradstab_status gradstab_uniform_bound(const gradstab_stabilizer_options* options, double* bound) {
  return c::run([&]() -> Status {
    if (bound == nullptr) return c::null_argument("bound", "a double");
    const auto read = c::read_options(options);
    if (!read) return read.status();
    *bound = uniform_bound(*read);
    return {};
  });
}

gradstab_status gradstab_step_bound(const gradstab_stabilizer_options* options, int64_t step, double* bound) {
  return c::run([&]() -> Status {
    if (bound == nullptr) return c::null_argument("bound", "a double");
    const auto read = c::read_options(options);
    if (!read) return read.status();
    if (step < 1) return c::invalid("step must be at least 1, got ", step);
    *bound = step_bound(*read, step);
    return {};
  });
}
