// What the names of logged values mean.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::inspect {

/// What of a log is read, by names that users may give. Empty: the one that fits best.
struct ColumnChoice {
  std::string norm = {};
  std::string loss = {};
  std::string step = {};
};

/// The step that a format gives every value, whatever it is called by users.
inline constexpr std::string_view kRecordStep = "(step)";

/// The columns, keys or tags that are read.
struct Columns {
  std::string norm;      ///< empty: the norms of tensors make it
  std::string loss;      ///< empty: none
  std::string step;      ///< empty: none
  std::string tensors;   ///< what the names of norms of single tensors begin with; empty: there are none
  bool squared = false;  ///< the name of the norm says that it is a squared one
};

// How well a name fits; the smaller the better, nothing where it does not.
std::optional<int> fit_as_norm(std::string_view name);
std::optional<int> fit_as_loss(std::string_view name);
std::optional<int> fit_as_step(std::string_view name);

/// Whether it says that what it names is a squared norm.
bool says_squared(std::string_view name);

/// "grad_2.0_norm/" of "grad_2.0_norm/layer.0.weight"; empty for the name of anything but the norm of a
/// single tensor.
std::string_view tensor_prefix(std::string_view name);

/// The columns of a log with these names, of which `choice` may fix some. `beside` are those that stand in
/// rows with a norm: a step is one of them if any is, and of losses that fit as well one of them. Errors
/// (invalid_argument): a name of the choice is not there, with the nearest one; (corrupt_data) none looks
/// like a gradient norm, with some of those that are there.
Result<Columns> choose_columns(const std::vector<std::string>& names, const std::vector<std::string>& beside,
                               const ColumnChoice& choice);

}  // namespace gradstab::lab::inspect
