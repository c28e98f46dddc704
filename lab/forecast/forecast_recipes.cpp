#include "lab/forecast/forecast_recipes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "lab/forecast/published.hpp"

namespace gradstab::lab::forecast {
namespace {

std::string lower_case(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

/// As published for a series, with the epoch of the best validation score: what early stopping keeps.
SettingTexts settings_of(const PublishedSettings& published) {
  const auto text = [](auto value) { return fmt::format("{}", value); };
  SettingTexts settings = {{"look_back", "336"},
                           {"layers", text(published.layers)},
                           {"width", text(published.width)},
                           {"heads", text(published.heads)},
                           {"hidden", text(published.hidden)},
                           {"dropout", text(published.dropout)},
                           {"optimizer", "adam"},
                           {"weight_decay", "0"},
                           {"lr", text(published.learning_rate)},
                           {"batch", text(published.batch)},
                           {"epochs", text(published.epochs)},
                           {"eval_every", "0"},
                           {"checkpoint_every", "0"},
                           {"warmup", "0"},
                           {"select", "best"}};
  if (published.one_cycle) {
    settings.insert(settings.end(), {{"schedule", "one_cycle"}, {"cycle_rise", "0.4"}});
  } else {
    settings.insert(settings.end(),
                    {{"schedule", "exponential"}, {"decay_factor", "0.9"}, {"decay_from", "3"}});
  }
  return settings;
}

}  // namespace

std::vector<Recipe> forecast_recipes() {
  std::vector<Recipe> recipes = {{"smoke",
                                  "a few updates, which show only that it works",
                                  {{"look_back", "48"},
                                   {"horizon", "12"},
                                   {"window_stride", "200"},
                                   {"layers", "1"},
                                   {"hidden", "16"},
                                   {"batch", "8"},
                                   {"steps", "6"},
                                   {"warmup", "0"},
                                   {"eval_every", "3"},
                                   {"checkpoint_every", "3"}}},
                                 {"cpu",
                                  "four seconds on one core",
                                  {{"look_back", "96"},
                                   {"horizon", "24"},
                                   {"window_stride", "8"},
                                   {"layers", "2"},
                                   {"hidden", "64"},
                                   {"dropout", "0.2"},
                                   {"lr", "0.003"},
                                   {"batch", "64"},
                                   {"epochs", "20"},
                                   {"eval_every", "0"},
                                   {"checkpoint_every", "0"},
                                   {"warmup", "0"},
                                   {"schedule", "exponential"},
                                   {"decay_factor", "0.9"},
                                   {"decay_from", "3"},
                                   {"select", "best"}}}};
  const PublishedSettings& weather = *published_settings("weather");
  recipes.push_back({"gpu", "the published model and length", settings_of(weather)});
  recipes.push_back(
      {"published", "the paper's model, batch and length, which are those of weather", settings_of(weather)});
  for (const PublishedSettings& published : kPublishedSettings)
    recipes.push_back({lower_case(published.series), fmt::format("as published for {}", published.series),
                       settings_of(published)});
  return recipes;
}

}  // namespace gradstab::lab::forecast
