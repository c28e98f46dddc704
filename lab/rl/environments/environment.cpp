#include "lab/rl/environments/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "lab/rl/environments/mujoco_environment.hpp"
#include "lab/support/nearest.hpp"

namespace gradstab::lab::rl {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

constexpr std::string_view kVersion = "-v4";

}  // namespace

std::vector<std::string> environment_names() {
  std::vector<std::string> names;
  for (const EnvironmentSpec& spec : environment_specs()) names.emplace_back(spec.name);
  return names;
}

Result<const EnvironmentSpec*> find_environment(std::string_view name) {
  const std::string wanted = lower_case(name);
  for (const EnvironmentSpec& spec : environment_specs()) {
    const std::string full = lower_case(spec.name);
    if (wanted == full || wanted + std::string(kVersion) == full) return &spec;
  }
  std::vector<std::string> spellings;
  for (const EnvironmentSpec& spec : environment_specs()) {
    spellings.push_back(lower_case(spec.name));
    spellings.push_back(spellings.back().substr(0, spellings.back().size() - kVersion.size()));
  }
  const std::string meant = nearest(wanted, spellings);
  const auto place = static_cast<std::size_t>(std::ranges::find(spellings, meant) - spellings.begin()) / 2;
  return Status(StatusCode::invalid_argument,
                fmt::format("unknown environment '{}'; the nearest is '{}' (known: {})", name,
                            environment_specs()[place].name, fmt::join(environment_names(), ", ")));
}

Result<std::string> environment_name(std::string_view name) {
  const auto spec = find_environment(name);
  if (!spec) return spec.status();
  return std::string((*spec)->name);
}

Result<std::unique_ptr<Environment>> make_environment(std::string_view name) {
  const auto spec = find_environment(name);
  if (!spec) return spec.status();
  auto model = compile_model(**spec);
  if (!model) return model.status();
  return std::unique_ptr<Environment>(std::make_unique<MujocoEnvironment>(**spec, *model));
}

}  // namespace gradstab::lab::rl
