// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The body of the report, with `{{name}}` placeholders.
extern const std::string_view page_html;
/// The report's own script: charts, legend, tooltips.
extern const std::string_view page_js;

}  // namespace gradstab::lab::assets
