// What every HTML page of the lab has in common: one file, one style, Chart.js, and nothing loaded from
// anywhere.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gradstab::lab {

/// Texts by the name of their placeholder.
using Placeholders = std::map<std::string, std::string, std::less<>>;

/// `page` with each {{name}} replaced by its text. What is put in is not looked at again, so that a run
/// called
/// "{{data}}" stays that. A name without text is a defect of the template: throws std::out_of_range.
std::string fill(std::string_view page, const Placeholders& values);

/// A whole page: `body` is HTML, `title` plain text, `data` what the script finds as JSON in the element
/// "page-data", `script` the page's own code behind shell.js. The page tells the browser in a content
/// security policy to load nothing.
std::string render_page(std::string_view title, std::string body, const nlohmann::json& data,
                        std::string_view script);

}  // namespace gradstab::lab
