// The numbers of recordings, in and out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab {

/// What is wrong with a recording, as opposed to the command that names it.
Status corrupt(std::string message);

/// A number, or one of the words for those that JSON has none for.
std::optional<double> number(const Json& value);

/// A list of that many numbers, each of which stands for the nearest float32. `what` begins the message.
template <class T>
Status read_numbers(const Json& list, std::size_t count, const std::string& what, std::vector<T>& values);

/// A list of sizes, of at most 2^40 elements together.
Result<std::vector<std::int64_t>> read_shape(const Json& list, const std::string& what);

/// The shortest decimal that reads back as the same number of its type.
template <class T>
void append(std::string& text, T value);
/// The same in a list.
template <class T>
void append(std::string& text, std::span<const T> values);

}  // namespace gradstab::lab
