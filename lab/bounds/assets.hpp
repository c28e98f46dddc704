// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The body of the page of bounds, with `{{name}}` placeholders.
extern const std::string_view bounds_html;
/// Its script: heat maps and recovery curves.
extern const std::string_view bounds_js;

}  // namespace gradstab::lab::assets
