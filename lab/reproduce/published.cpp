#include "lab/reproduce/published.hpp"

#include <algorithm>
#include <array>

namespace gradstab::lab {
namespace {

/// A column of top-1 in percent, a value per row of the paper's tables.
PublishedTable::Column top_1(const Settings& context, const std::array<double, 6>& values) {
  constexpr std::array kRows = {"none", "clip_by_value", "clip", "adaptive_clip", "zclip", "stabilize"};
  PublishedTable::Column column{context, {}};
  for (std::size_t row = 0; row < kRows.size(); ++row)
    column.rows.emplace_back(kRows[row], std::vector<double>{values[row]});
  return column;
}

}  // namespace

std::vector<double> PublishedTable::find(const Settings& context, const std::string& arm) const {
  const auto column = std::ranges::find(columns, context, &Column::context);
  if (column == columns.end()) return {};
  for (const auto& [name, values] : column->rows)
    if (name == arm) return values;
  return {};
}

PublishedTable published_table_1() {
  const auto in = [](const char* optimizer, const char* precision) {
    return Settings{{"optimizer", optimizer}, {"precision", precision}};
  };
  return {"perplexity",
          "Table 1",
          {"130M", "350M"},
          {{in("adam", "fp16"),
            {{"none", {24.60, 19.04}},
             {"clip_by_value", {24.48, 19.01}},
             {"clip", {24.17, 18.84}},
             {"adaptive_clip", {24.32, 18.76}},
             {"zclip", {24.16, 18.62}},
             {"stabilize", {23.32, 17.83}}}},
           {in("adam", "fp4"),
            {{"none", {29.02, 21.57}},
             {"clip_by_value", {28.95, 20.48}},
             {"clip", {28.31, 22.29}},
             {"adaptive_clip", {28.52, 19.24}},
             {"zclip", {28.34, 19.23}},
             {"stabilize", {26.82, 18.89}}}},
           {in("adamw", "fp16"),
            {{"none", {24.31, 19.21}},
             {"clip_by_value", {24.34, 19.15}},
             {"clip", {23.86, 18.98}},
             {"adaptive_clip", {24.09, 18.90}},
             {"zclip", {23.89, 18.89}},
             {"stabilize", {23.14, 17.80}}}},
           {in("adamw", "fp4"),
            {{"none", {28.72, 21.35}},
             {"clip_by_value", {28.72, 21.84}},
             {"clip", {28.05, 20.13}},
             {"adaptive_clip", {28.26, 19.42}},
             {"zclip", {28.04, 21.39}},
             {"stabilize", {26.66, 18.84}}}}}};
}

PublishedTable published_table_4() {
  return {"perplexity",
          "Table 4",
          {"130M", "350M"},
          {{{{"optimizer", "adam_mini"}},
            {{"none", {31.66, 20.36}},
             {"clip_by_value", {31.52, 20.99}},
             {"clip", {30.54, 21.03}},
             {"adaptive_clip", {30.41, 21.84}},
             {"zclip", {30.50, 21.14}},
             {"stabilize", {27.75, 18.64}}}},
           {{{"optimizer", "lion"}},
            {{"none", {28.52, 23.59}},
             {"clip_by_value", {28.32, 23.20}},
             {"clip", {28.23, 22.98}},
             {"adaptive_clip", {28.33, 23.20}},
             {"zclip", {28.16, 23.13}},
             {"stabilize", {26.72, 22.75}}}}}};
}

PublishedTable published_table_2() {
  return {"top-1 %",
          "Table 2",
          {"ImageNet-1K"},
          {top_1({{"model", "vit"}, {"optimizer", "adamw"}}, {79.3, 79.4, 79.5, 38.5, 79.4, 79.6}),
           top_1({{"model", "convnext"}, {"optimizer", "adamw"}}, {79.6, 80.0, 80.0, 77.2, 80.1, 80.1}),
           top_1({{"model", "resnet"}, {"optimizer", "adamw"}}, {77.3, 77.2, 77.5, 77.7, 77.5, 77.6}),
           top_1({{"model", "vit"}, {"optimizer", "adam"}}, {77.1, 77.0, 77.1, 71.2, 76.9, 77.3}),
           top_1({{"model", "convnext"}, {"optimizer", "adam"}}, {77.6, 78.1, 78.2, 76.9, 78.1, 78.3}),
           top_1({{"model", "resnet"}, {"optimizer", "adam"}}, {75.5, 75.6, 75.7, 75.8, 75.7, 75.8})}};
}

// Their columns at no weight decay, and at the published ones. What the small models have, stands beside
// none.
PublishedTable published_table_3() {
  return {"top-1 %",
          "Tables 3 and 9",
          {"ImageNet-1K"},
          {top_1({{"model", "vit"}, {"weight_decay", "0"}}, {77.1, 77.0, 77.1, 71.2, 76.9, 77.3}),
           top_1({{"model", "vit"}, {"weight_decay", "0.0001"}}, {59.3, 60.2, 53.4, 0.1, 59.9, 78.7}),
           top_1({{"model", "vit"}, {"weight_decay", "0.0005"}}, {52.9, 29.2, 20.6, 0.1, 30.5, 72.4})}};
}

PublishedTable published_table_9() {
  return {"top-1 %",
          "Tables 3 and 9",
          {"ImageNet-1K"},
          {top_1({{"model", "convnext"}, {"weight_decay", "0"}}, {77.6, 78.1, 78.2, 76.9, 78.1, 78.3}),
           top_1({{"model", "convnext"}, {"weight_decay", "0.0001"}}, {35.2, 15.7, 27.2, 2.6, 26.4, 78.8}),
           top_1({{"model", "resnet"}, {"weight_decay", "0"}}, {75.5, 75.6, 75.7, 75.8, 75.7, 75.8}),
           top_1({{"model", "resnet"}, {"weight_decay", "0.0001"}}, {69.8, 69.8, 64.5, 64.2, 64.5, 76.6})}};
}

}  // namespace gradstab::lab
