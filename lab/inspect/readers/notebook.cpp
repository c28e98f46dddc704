#include "lab/inspect/readers/notebook.hpp"

#include <fmt/format.h>

#include <array>

#include "lab/support/files.hpp"
#include "lab/support/json.hpp"

namespace gradstab::lab::inspect {
namespace {

/// A text, or a list of them, as notebooks hold texts.
void add_text(const Json& text, std::string& output) {
  if (text.is_string()) output += text.get_ref<const std::string&>();
  if (!text.is_array()) return;
  for (const Json& line : text)
    if (line.is_string()) output += line.get_ref<const std::string&>();
}

void add_outputs_of(const Json& cell, std::string& output) {
  if (!cell.is_object()) return;
  const auto outputs = cell.find("outputs");
  if (outputs == cell.end() || !outputs->is_array()) return;
  for (const Json& each : *outputs) {
    if (!each.is_object()) continue;
    if (const auto text = each.find("text"); text != each.end()) add_text(*text, output);
    if (const auto data = each.find("data"); data != each.end() && data->is_object())
      if (const auto text = data->find("text/plain"); text != data->end()) add_text(*text, output);
    output += '\n';
  }
}

}  // namespace

bool looks_like_notebook(std::string_view front) {
  const std::size_t begin = front.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && front[begin] == '{' &&
         front.find("\"cells\"") != std::string_view::npos &&
         front.find("\"cell_type\"") != std::string_view::npos;
}

Result<std::string> output_of_notebook(const Source& source) {
  auto bytes = source();
  if (!bytes) return bytes.status();
  std::string content;
  std::array<char, 1 << 16> block;
  for (;;) {
    const auto count = (*bytes)->read(block);
    if (!count) return count.status();
    if (*count == 0) break;
    content.append(block.data(), *count);
    if (content.size() > kMostJsonBytes)
      return Status(StatusCode::corrupt_data,
                    fmt::format("is a notebook of more than {}", size_text(kMostJsonBytes)));
  }
  const auto notebook = parse_json_object(content, "the notebook");
  if (!notebook) return notebook.status();
  std::string output;
  const auto cells = notebook->find("cells");
  if (cells != notebook->end() && cells->is_array())
    for (const Json& cell : *cells) add_outputs_of(cell, output);
  return output;
}

}  // namespace gradstab::lab::inspect
