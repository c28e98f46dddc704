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

std::string render_page(std::string_view title, std::string body, const nlohmann::json& data,
                        std::string_view script) {
  std::string scripts;
  if (body.find(kPosesMark) != std::string::npos) scripts += assets::poses_js;
  scripts += script;
  return fill(assets::shell_html, {{"title", escape_html(title)},
                                   {"css", std::string(assets::page_css)},
                                   {"body", std::move(body)},
                                   {"data", json_for_script(data)},
                                   {"chart_js", std::string(assets::chart_js)},
                                   {"shell_js", std::string(assets::shell_js)},
                                   {"js", std::move(scripts)}});
}

}  // namespace gradstab::lab
