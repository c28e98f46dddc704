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

/// What a download from TensorBoard calls its one scalar, beside "Wall time" and "Step". Of such a table it
/// is taken for the norm.
inline constexpr std::string_view kValueOfDownload = "Value";

/// The columns, keys or tags that are read.
struct Columns {
  std::string norm;           ///< empty: the norms of tensors make it
  std::string loss;           ///< empty: none
  std::string step;           ///< empty: none
  std::string tensors;        ///< what the names of norms of single tensors begin with; empty: there are none
  bool squared = false;       ///< the name of the norm says that it is a squared one
  bool average = false;       ///< it says that it is an average
  std::string clipping = {};  ///< what it says of the place of clipping
  std::vector<std::string> other_norms = {};  ///< that would fit, too: of other models or other runs
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

/// "loss, lr, step and 14 more"
std::string some_of(const std::vector<std::string>& names);

/// The names in a log.
struct NamesInLog {
  std::vector<std::string> all;
  /// That stand in a row with a norm. A step is one of them if any is, and of losses that fit as well one is.
  std::vector<std::string> beside_norm;
  /// With a value that no step has: a fraction, or a negative number.
  std::vector<std::string> not_steps;
};

/// The columns of a log with these names, of which `choice` may fix some. Errors
/// (invalid_argument): a name of the choice is not there, with the nearest one; (corrupt_data) none looks
/// like a gradient norm, with some of those that are there.
Result<Columns> choose_columns(const NamesInLog& names, const ColumnChoice& choice);

}  // namespace gradstab::lab::inspect
