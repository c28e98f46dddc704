// How training programs write a gradient norm into a line of text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/inspect/readers/log_number.hpp"

namespace gradstab::lab::inspect {

/// Whether a word or a number may go on with this: a letter, a digit, "_", "/", "." or "-".
bool goes_on(char c);

/// Whether a number must be set off by ':' or '=', or may follow blanks alone.
enum class Separator { needed, or_blanks };

/// A number behind a name.
struct Named {
  std::string_view name;
  double value = 0.0;
  bool rounded = false;  ///< it was said in thousands or millions: "7K"
};

/// How a program writes its lines.
struct Dialect {
  std::string_view name;
  std::vector<std::string_view> marks = {};  ///< stand in each of its lines with a norm
  std::vector<std::string_view> norm;
  std::vector<std::string_view> loss = {};
  std::vector<std::string_view> step = {};
  std::optional<double> (*find_step)(std::string_view) = nullptr;
  /// The step stands behind this, on a line before those of its norm and its loss.
  std::string_view step_before = {};
  Separator separator = Separator::needed;  ///< of norms and losses
  bool other_losses = false;                ///< without one of these names, the best word with "loss" in it
  std::string_view averaging = {};
  std::string_view clipping = {};
  /// No program's own: capital letters do not count, and where numbers are set off any word may be the name
  /// of a norm.
  bool general = false;
};

/// The known ones; the first that a line fits is the one of its log.
const std::vector<Dialect>& dialects();

/// The names that a log was found to have. One that was found stays: other lines have other norms.
struct Names {
  std::string norm, loss, step;
};

/// What a line must have beside a norm to be the one by which a log is known. The settings that programs
/// print first have neither.
enum class Beside { step_or_loss, nothing };

/// Lower case of a line, in a memory of its own.
class Lowered {
 public:
  std::string_view of(std::string_view line) {
    text_.assign(line);
    for (char& c : text_)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text_;
  }

 private:
  std::string text_;
};

/// The first dialect of which this is a line with a norm; null: it is none of any.
const Dialect* dialect_of(std::string_view line, Lowered& lowered, Beside beside);

// What a line of a dialect says, by the names that were found before; what is found for the first time is
// kept.
std::optional<Named> norm_in(std::string_view line, const Dialect& dialect, Names& names);
std::optional<Named> loss_in(std::string_view line, const Dialect& dialect, Names& names);
std::optional<Named> step_in(std::string_view line, const Dialect& dialect, Names& names);

}  // namespace gradstab::lab::inspect
