// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// What surrounds the body of every page, with `{{name}}` placeholders.
extern const std::string_view shell_html;
/// The style sheet of every page.
extern const std::string_view page_css;
/// What the scripts of all pages use: colours, number formats, ticks, tooltips.
extern const std::string_view shell_js;
/// Plays recorded movements (poses.hpp).
extern const std::string_view poses_js;
/// Chart.js, minified, its licence comment first.
extern const std::string_view chart_js;

}  // namespace gradstab::lab::assets
