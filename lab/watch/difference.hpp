// What has to be sent so that a page which knows one document knows the next one.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace gradstab::lab::watch {

/// Nothing where both are alike. Else `[after]`, or, where it is shorter, an object with the difference of
/// each member that is another one: its key, or its place in a list whose elements are objects or lists. A
/// member or an element that is new stands as `[value]`. live.js puts it in.
std::optional<nlohmann::json> difference(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace gradstab::lab::watch
