#include "lab/page/page_shell.hpp"

#include <utility>

#include "lab/page/assets.hpp"
#include "lab/page/markup.hpp"
#include "lab/page/poses.hpp"

namespace gradstab::lab {

std::string fill(std::string_view page, const Placeholders& values) {
  std::string result;
  while (true) {
    const std::size_t open = page.find("{{");
    result += page.substr(0, open);
    if (open == std::string_view::npos) return result;
    const std::size_t close = page.find("}}", open);
    result += values.at(std::string(page.substr(open + 2, close - open - 2)));
    page.remove_prefix(close + 2);
  }
}

std::string content_security_policy(LoadsFrom loads) {
  return std::string(
             "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; ") +
         (loads == LoadsFrom::its_server ? "connect-src 'self'; " : "") +
         "base-uri 'none'; form-action 'none'";
}

std::string render_page(std::string_view title, std::string body, const nlohmann::json& data,
                        std::string_view script, LoadsFrom loads) {
  std::string scripts;
  if (body.find(kPosesMark) != std::string::npos) scripts += assets::poses_js;
  scripts += script;
  return fill(assets::shell_html, {{"title", escape_html(title)},
                                   {"policy", content_security_policy(loads)},
                                   {"css", std::string(assets::page_css)},
                                   {"body", std::move(body)},
                                   {"data", json_for_script(data)},
                                   {"chart_js", std::string(assets::chart_js)},
                                   {"shell_js", std::string(assets::shell_js)},
                                   {"js", std::move(scripts)}});
}

std::string render_page(const PageContent& content, LoadsFrom loads) {
  return render_page(content.title, fill(content.layout, content.texts), content.data, content.script, loads);
}

std::vector<std::string> replaceable_parts(std::string_view layout) {
  constexpr std::string_view kMark = "data-part=\"";
  std::vector<std::string> names;
  for (std::size_t at = layout.find(kMark); at != std::string_view::npos; at = layout.find(kMark, at)) {
    at += kMark.size();
    names.emplace_back(layout.substr(at, layout.find('"', at) - at));
  }
  return names;
}

}  // namespace gradstab::lab
