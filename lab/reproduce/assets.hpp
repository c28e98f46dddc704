// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The body of an item's page, with `{{name}}` placeholders.
extern const std::string_view item_html;
/// The body of the page that says what decides.
extern const std::string_view decides_html;
/// The script of both: the charts.
extern const std::string_view charts_js;

}  // namespace gradstab::lab::assets
