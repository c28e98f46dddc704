#include "lab/reproduce/published.hpp"

#include <algorithm>

namespace gradstab::lab {

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

}  // namespace gradstab::lab
