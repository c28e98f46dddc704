// Options whose value is a number.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>

#include "lab/support/numbers.hpp"

namespace gradstab::cli {

/// As CLI::App::add_option, for any type of lab::read_value. The parser's own reading takes an empty text for
/// 0, numbers beyond 64 bits for the largest ones, and hexadecimal digits. Errors are of the parser's kind:
/// "--steps: expected a whole number, got '1e3'".
template <class T>
CLI::Option* add_value(CLI::App& app, const std::string& name, T& field, const std::string& help) {
  CLI::Option* option = app.add_option(
      name,
      [&field, name](const CLI::results_t& words) {
        const Status read = lab::read_value(words.at(0), field);
        if (!read.ok()) throw CLI::ValidationError(name, read.message());
        return true;
      },
      help, /*defaulted=*/false, [&field] { return fmt::format("{}", field); });
  return option->type_name(CLI::detail::type_name<T>());
}

}  // namespace gradstab::cli
