#include <algorithm>
#include <numeric>

#include "core/base/text.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab {
namespace {

/// So that products of sizes, in bytes too, stay within 64 bits, whichever of them are multiplied.
constexpr std::int64_t kMostElements = std::int64_t{1} << 60;

bool is_too_large(const std::vector<std::int64_t>& sizes) noexcept {
  std::int64_t elements = 1;
  for (const std::int64_t size : sizes) {
    if (size == 0) continue;
    if (size > kMostElements / elements) return true;
    elements *= size;
  }
  return false;
}

}  // namespace

Result<ParameterSet> ParameterSet::create(std::vector<Parameter> parameters) {
  ParameterSet set;
  set.parameters_ = std::move(parameters);
  const auto& list = set.parameters_;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i].name.empty()) {
      return Status(StatusCode::invalid_argument, detail::concat("parameter ", i, " has an empty name"));
    }
    if (std::ranges::any_of(list[i].sizes, [](std::int64_t size) { return size < 0; })) {
      return Status(StatusCode::invalid_argument,
                    detail::concat("parameter '", list[i].name, "' has a negative size in ",
                                   shape_text(list[i].sizes)));
    }
    if (is_too_large(list[i].sizes)) {
      return Status(StatusCode::invalid_argument,
                    detail::concat("parameter '", list[i].name, "' has shape ", shape_text(list[i].sizes),
                                   ", expected at most 2^60 elements"));
    }
  }
  set.by_name_.resize(list.size());
  std::iota(set.by_name_.begin(), set.by_name_.end(), std::size_t{0});
  std::ranges::sort(set.by_name_, {}, [&](std::size_t i) -> std::string_view { return list[i].name; });
  const auto repeated = std::ranges::adjacent_find(
      set.by_name_, [&](std::size_t a, std::size_t b) { return list[a].name == list[b].name; });
  if (repeated != set.by_name_.end()) {
    return Status(StatusCode::invalid_argument, detail::concat("parameter name '", list[*repeated].name,
                                                               "' is used twice; names must be unique"));
  }
  return set;
}

std::ptrdiff_t ParameterSet::find(std::string_view name) const noexcept {
  const auto name_at = [this](std::size_t i) -> std::string_view { return parameters_[i].name; };
  const auto found = std::ranges::lower_bound(by_name_, name, {}, name_at);
  if (found == by_name_.end() || parameters_[*found].name != name) return -1;
  return static_cast<std::ptrdiff_t>(*found);
}

std::string shape_text(const std::vector<std::int64_t>& sizes) {
  std::string text = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
  return text + "]";
}

}  // namespace gradstab
