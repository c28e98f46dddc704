// Bytes as text of 64 characters (RFC 4648), with padding.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradstab::lab {

std::string to_base64(std::span<const std::byte> bytes);

/// The bytes; nothing for what is no base64: another character, white space, a length that is no multiple of
/// 4, padding elsewhere than at the end.
std::optional<std::vector<std::byte>> from_base64(std::string_view text);

}  // namespace gradstab::lab
