// The texts embedded at build time; embed.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The page with `{{name}}` placeholders.
extern const std::string_view page_html;
/// The page's style sheet.
extern const std::string_view page_css;
/// The page's own script: charts, legend, tooltips.
extern const std::string_view page_js;
/// Chart.js, minified, its licence comment first.
extern const std::string_view chart_js;

}  // namespace gradstab::lab::assets
