// The numbers of recordings, in and out.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What is wrong with a recording, as opposed to the command that names it.
Status corrupt(std::string message);

/// JSON on one line, cut where it is long.
std::string shown(const nlohmann::json& value);

/// A number, or one of the words for those that JSON has none for.
std::optional<double> number(const nlohmann::json& value);

/// A list of that many numbers, each of which stands for the nearest float32. `what` begins the message.
template <class T>
Status read_numbers(const nlohmann::json& list, std::size_t count, const std::string& what,
                    std::vector<T>& values);

/// A list of sizes, of at most 2^40 elements together.
Result<std::vector<std::int64_t>> read_shape(const nlohmann::json& list, const std::string& what);

/// The shortest decimal that reads back as the same number of its type.
template <class T>
void append(std::string& text, T value);
/// The same in a list.
template <class T>
void append(std::string& text, std::span<const T> values);

}  // namespace gradstab::lab
