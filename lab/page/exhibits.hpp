// What a page shows of a run beside its numbers: tables, lines over something, pictures, and movements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace gradstab::lab {

inline constexpr std::size_t kMostPictures = 200;
inline constexpr std::size_t kMostPngBytes = 256 * 1024;
inline constexpr std::uint32_t kMostPixels = 512;

/// HTML of an exhibit that a task has given. Untrusted; what has another form than one of these is left out:
///
/// {"kind": "table", "title", "caption", "columns": [texts], "rows": [[texts or numbers]]}
/// {"kind": "lines", "title", "caption", "x": [numbers], "lines": [{"label", "y": [numbers]}]}
/// {"kind": "pictures", "title", "caption", "pictures": [{"png": base64, "alt", "text", "good": true or
/// false}]}
/// {"kind": "poses", ...}: recorded movements, see poses.hpp
///
/// Lines are drawn as SVG, which needs no script: each over all of x, on one axis. So is the first moment of
/// a movement; the rest needs the page's script. Pictures are PNG files of at most kMostPixels a side and
/// kMostPngBytes, at most kMostPictures of them, which the page holds itself. "alt" is for those who do not
/// see them, "text" stands below; "good" may be missing.
std::string exhibit_html(const nlohmann::json& exhibit);

}  // namespace gradstab::lab
