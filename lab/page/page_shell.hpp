// What every HTML page of the lab has in common: one file, one style, Chart.js, and nothing loaded from
// anywhere.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gradstab::lab {

/// Texts by the name of their placeholder.
using Placeholders = std::map<std::string, std::string, std::less<>>;

/// `page` with each {{name}} replaced by its text. What is put in is not looked at again, so that a run
/// called
/// "{{data}}" stays that. A name without text is a defect of the template: throws std::out_of_range.
std::string fill(std::string_view page, const Placeholders& values);

/// A page before it is one text, so that somebody can follow its parts while they change.
struct PageContent {
  std::string title;
  std::string layout;  ///< HTML of the body, with a {{name}} for each of the texts
  Placeholders texts;  ///< HTML
  nlohmann::json data;
  std::string script;
};

/// Where a page may load from.
enum class LoadsFrom {
  nowhere,
  its_server,  ///< by its script alone: fetch, server-sent events
};

/// What the browser is told that a page may load. A page of a file holds it itself; a server says it, too.
std::string content_security_policy(LoadsFrom loads);

/// A whole page: `body` is HTML, `title` plain text, `data` what the script finds as JSON in the element
/// "page-data", `script` the page's own code behind shell.js.
std::string render_page(std::string_view title, std::string body, const nlohmann::json& data,
                        std::string_view script, LoadsFrom loads = LoadsFrom::nowhere);
std::string render_page(const PageContent& content, LoadsFrom loads = LoadsFrom::nowhere);

/// The names of texts that the layout shows as they are in an element of their own, `data-part="name"`. They
/// can be replaced in a page that is open; a change of any other is another page.
std::vector<std::string> replaceable_parts(std::string_view layout);

}  // namespace gradstab::lab
