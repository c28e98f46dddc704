// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The list of what is followed, above the report, with `{{name}}` placeholders.
extern const std::string_view followed_html;
/// What takes the server's messages and changes the page by them.
extern const std::string_view live_js;

}  // namespace gradstab::lab::assets
