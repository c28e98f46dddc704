// gradstab_bench: how far the CPU backends are from the memory's limits and from LibTorch's clip_grad_norm_.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "rows.hpp"

namespace gradstab::bench {
namespace {

constexpr std::string_view kHelp = R"(usage: gradstab_bench [options]

Times gradient transforms at 1 and 2 threads and prints ratios: to the machine's own streaming rates over the
same bytes, between dtypes, and to LibTorch's clip_grad_norm_ with as many threads. Results are checked before
they are timed. Every sample starts from gradients written anew; variants take turns within each repeat, and a
ratio is taken within a repeat.

  --quick           a smaller model and fewer repeats; the targets are for the full size
  --repeats N       repeats (default 9; quick: 5)
  --only GROUP      transforms, optimizers or methods, instead of all three
  --backend NAME    instead of the fastest supported backend
  --json FILE       write the results
  --against FILE    compare with the results of an earlier run; exit status 1 if a ratio got worse by more than
                    the margin
  --margin PERCENT  (default 15)
  --help

Exit status: 0, 1 (worse than before), 2 (error). A missed target is no error: it depends on the machine.
)";

struct Options {
  Settings settings;
  std::optional<int> repeats;
  std::string json;
  std::string against;
  double margin = 0.15;
  bool help = false;
};

template <class Number>
Number parse_number(std::string_view option, std::string_view text, Number least) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= least)) {
    throw std::runtime_error(
        fmt::format("{} must be a number of at least {}, got '{}'", option, least, text));
  }
  return value;
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view option = arguments[i];
    const auto value = [&]() -> std::string_view {
      if (i + 1 >= count) throw std::runtime_error(fmt::format("{} needs a value", option));
      return arguments[++i];
    };
    if (option == "--help") {
      options.help = true;
    } else if (option == "--quick") {
      options.settings.quick = true;
    } else if (option == "--repeats") {
      options.repeats = parse_number(option, value(), 1);
    } else if (option == "--backend") {
      options.settings.backend = value();
    } else if (option == "--only") {
      options.settings.only = value();
      if (std::ranges::find(kGroups, options.settings.only) == kGroups.end())
        throw std::runtime_error(
            fmt::format("--only must be {}, got '{}'", fmt::join(kGroups, ", "), options.settings.only));
    } else if (option == "--json") {
      options.json = value();
    } else if (option == "--against") {
      options.against = value();
    } else if (option == "--margin") {
      options.margin = parse_number(option, value(), 0.0) / 100.0;
    } else {
      throw std::runtime_error(fmt::format("unknown option '{}'; see --help", option));
    }
  }
  options.settings.repeats = options.repeats.value_or(options.settings.quick ? 5 : 9);
  return options;
}

int run(int count, char** arguments) {
  const Options options = parse(count, arguments);
  if (options.help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  // Read first: the earlier run may be the file that this one writes.
  std::optional<Results> before;
  if (!options.against.empty()) before = read_json(options.against);
  const Results results = run_all(options.settings);
  print_table(results);
  if (!options.json.empty()) write_json(results, options.json);
  if (!before) return 0;
  const int worse = print_comparison(results, *before, options.margin);
  if (worse > 0) fmt::print("{} ratios are worse by more than {:.0f} %\n", worse, options.margin * 100.0);
  return worse > 0 ? 1 : 0;
}

}  // namespace
}  // namespace gradstab::bench

int main(int count, char** arguments) {
  try {
    return gradstab::bench::run(count, arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "gradstab_bench: {}\n", error.what());
    return 2;
  }
}
