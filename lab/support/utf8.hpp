// Strict UTF-8: find the valid part, repair the rest.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gradstab::lab {

/// Length in bytes of the longest prefix of `bytes` that is valid UTF-8 (no overlong forms, no surrogates, at
/// most U+10FFFF, no character cut short at the end).
std::size_t valid_utf8_prefix(std::string_view bytes) noexcept;

/// Appends `bytes` to `out` as valid UTF-8. Valid sequences are copied; every other byte is read as
/// Windows-1252, which contains Latin-1, the usual encoding of stray bytes in old English texts (0x92 becomes
/// U+2019). The five bytes that Windows-1252 leaves undefined become the C1 control with their number.
void append_valid_utf8(std::string_view bytes, std::string& out);

/// Appends one code point (at most U+FFFF) to `out` as UTF-8.
void append_code_point(char32_t code_point, std::string& out);

}  // namespace gradstab::lab
