// The texts embedded at build time; cmake/embed_texts.cmake writes the definitions.
#pragma once

#include <string_view>

namespace gradstab::lab::assets {

/// The body of the page of inspected logs, with `{{name}}` placeholders.
extern const std::string_view inspect_html;
/// What it has of each log.
extern const std::string_view inspect_log_html;
/// Its script: charts of norms, losses and factors.
extern const std::string_view inspect_js;

}  // namespace gradstab::lab::assets
