#include "lab/reproduce/item_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lab/page/markup.hpp"
#include "lab/page/page_shell.hpp"
#include "lab/report/settings_table.hpp"
#include "lab/reproduce/assets.hpp"
#include "lab/reproduce/item_tables.hpp"
#include "lab/reproduce/names.hpp"

namespace gradstab::lab {
namespace {

std::string lead(const Records& records) {
  std::string text =
      fmt::format("Scale {}: {} of {} runs finished", records.scale, records.finished(), records.runs.size());
  for (const std::string& horizon : horizons_in_order(records))
    text += fmt::format("; {}: {}", horizon, horizon_text(records, horizon));
  return escape_html(text + ".");
}

std::string claim_list(const std::vector<ClaimResult>& results) {
  std::string html = "<ul class=\"claims\">\n";
  for (const ClaimResult& result : results)
    html += fmt::format("<li>{} {}</li>\n", verdict_badge(result.verdict), escape_html(result.claim.text));
  return html + "</ul>\n";
}

std::string failures(const Records& records) {
  std::string items;
  for (const ItemRun& run : records.runs) {
    if (run.state == "failed")
      items += fmt::format("<li>{} failed: {}</li>\n", escape_html(run.name), escape_html(run.error));
    if (run.diverged) items += fmt::format("<li>{} diverged.</li>\n", escape_html(run.name));
  }
  if (items.empty()) return "";
  return "<details><summary>Runs that failed or diverged</summary><ul>\n" + items + "</ul></details>\n";
}

std::string configurations(const Item& item, const Records& records) {
  std::string html;
  for (const std::string& horizon : horizons_in_order(records)) {
    html +=
        fmt::format("<h3>{}: {}</h3>\n", escape_html(horizon), escape_html(horizon_text(records, horizon)));
    html += configuration_table(records, horizon, item.published);
  }
  return html;
}

std::string environment(const Records& records) {
  std::vector<nlohmann::json> objects = {{{"environment", records.environment}, {"data", records.data}}};
  const std::array columns = {SettingsColumn{"first run", {&objects.front()}}};
  return settings_table(columns, "entries");
}

}  // namespace

std::string render_item_page(const Item& item, const Records& records,
                             const std::vector<ClaimResult>& results) {
  std::string claims;
  for (const ClaimResult& result : results) claims += claim_section(result, records.measures);
  const std::string title = item.name + ": " + item.title;
  std::string body = fill(
      assets::item_html,
      {{"title", escape_html(title)},
       {"says", escape_html(item.says)},
       {"lead", lead(records)},
       {"summary", claim_list(results)},
       {"rule", escape_html(rule_of(records))},
       {"claims", claims},
       {"failures", failures(records)},
       {"configurations", configurations(item, records)},
       {"definitions", escape_html(measure_definitions(records.measures))},
       {"environment", environment(records)},
       {"command", escape_html(fmt::format("gradstab reproduce {} --scale {}", item.name, records.scale))}});
  return render_page(title, std::move(body), {{"charts", plot_data(item.plots(), records)}},
                     assets::charts_js);
}

}  // namespace gradstab::lab
